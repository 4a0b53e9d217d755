//! How much rows take, so that a batch of what is brought together is bounded in bytes as well as in rows: a column of
//! text cannot have 2 GiB in one batch, and rows of a megabyte would come to that.

use crate::stop::BATCH_ROWS;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// A batch that steps put together has at most so many bytes, and one row.
pub(crate) const BATCH_BYTES: usize = 4 << 20;

/// What each row of a batch takes.
pub(crate) struct Weights {
    /// The columns whose values differ in size; none where whole batches of rows like these are light.
    columns: Vec<ArrayRef>,
}

impl Weights {
    pub fn of(rows: &RecordBatch) -> Weights {
        let varying = rows.columns().iter().filter(|column| varies(column.data_type()));
        let weights = Weights { columns: varying.cloned().collect() };
        let heaviest = (0..rows.num_rows()).map(|row| weights.row(row)).max().unwrap_or_default();
        if heaviest * BATCH_ROWS <= BATCH_BYTES { Weights { columns: Vec::new() } } else { weights }
    }

    /// The bytes of a row's text, lists and structs; nothing where no batch of such rows is heavy.
    pub fn row(&self, row: usize) -> usize {
        self.columns.iter().map(|column| bytes_at(column, row)).sum()
    }
}

fn varies(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Struct(_))
}

/// What a value takes: that of text its bytes, that of a list and a struct those of all in it.
pub(crate) fn bytes_at(column: &ArrayRef, row: usize) -> usize {
    if column.is_null(row) {
        return 0;
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value_length(row) as usize,
        DataType::Binary => column.as_binary::<i32>().value_length(row) as usize,
        DataType::Struct(_) => column.as_struct().columns().iter().map(|column| bytes_at(column, row)).sum(),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let ends = [list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize];
            match varies(list.values().data_type()) {
                true => (ends[0]..ends[1]).map(|at| bytes_at(list.values(), at)).sum(),
                false => (ends[1] - ends[0]) * list.values().data_type().primitive_width().unwrap_or(1),
            }
        }
        other => other.primitive_width().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    #[test]
    fn a_row_weighs_what_its_text_and_its_lists_take_where_that_is_much() {
        let wide = "x".repeat(1 << 20);
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some(wide.as_str()), None, Some("abc")]));
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            None,
            Some(Vec::new()),
        ]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let all = RecordBatch::try_from_iter([("t", text), ("l", list.clone()), ("n", number.clone())]).unwrap();
        let weights = Weights::of(&all);
        assert_eq!([0, 1, 2].map(|row| weights.row(row)), [(1 << 20) + 16, 0, 3]);
        let light = RecordBatch::try_from_iter([("l", list), ("n", number)]).unwrap();
        assert_eq!([0, 1, 2].map(|row| Weights::of(&light).row(row)), [0; 3]);
    }
}
