//! Rows of one partition that wait in memory, before they go into a file.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef;
use dataflow::Result;
use iceberg::spec::{NullOrder, SortDirection, TableMetadata, Transform};

/// What rows of a file are sorted by: columns by their index, each with its direction.
#[derive(Clone, Debug)]
pub struct RowOrder(Vec<(usize, SortOptions)>);

impl RowOrder {
    /// The order that a table has declared; `None` where it has none, or one of something that is made of columns or of
    /// columns in others.
    ///
    /// A table that is cut by day and whose only order is that of the same column, as archives are, takes rows as they come:
    /// mostly they do so in that order, and its files say when they did not.
    pub fn of(metadata: &TableMetadata) -> Option<RowOrder> {
        let order = metadata.default_sort_order();
        let columns = metadata.current_schema().as_struct().fields();
        if let ([sorted], [cut]) = (order.fields.as_slice(), metadata.default_partition_spec().fields())
            && cut.transform == Transform::Day
            && cut.source_id == sorted.source_id
            && (sorted.direction, sorted.null_order) == (SortDirection::Ascending, NullOrder::First)
        {
            return None;
        }
        let column = |field: &iceberg::spec::SortField| {
            let is_plain = |column: &&iceberg::spec::NestedFieldRef| column.field_type.is_primitive();
            let at = columns.iter().position(|column| column.id == field.source_id)?;
            columns.get(at).filter(is_plain).filter(|_| field.transform == Transform::Identity)?;
            let options = SortOptions {
                descending: field.direction == SortDirection::Descending,
                nulls_first: field.null_order == NullOrder::First,
            };
            Some((at, options))
        };
        let fields = order.fields.iter().map(column).collect::<Option<Vec<_>>>()?;
        (!fields.is_empty()).then_some(RowOrder(fields))
    }

    fn sorted(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let column = |(at, options): &(usize, SortOptions)| SortColumn {
            values: rows.column(*at).clone() as ArrayRef,
            options: Some(*options),
        };
        let by: Vec<SortColumn> = self.0.iter().map(column).collect();
        Ok(take_record_batch(&rows, &lexsort_to_indices(&by, None)?)?)
    }
}

/// About what an array takes beside its values: few rows of many partitions are mostly that.
const ARRAY_BYTES: usize = 256;

/// Rows that wait.
#[derive(Default)]
pub struct WaitingRows {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl WaitingRows {
    /// Adds rows, and gives how many bytes they take.
    pub fn add(&mut self, rows: RecordBatch) -> Result<usize> {
        let mut bytes = 0;
        for column in rows.columns() {
            bytes += column.to_data().get_slice_memory_size()? + ARRAY_BYTES;
        }
        self.bytes += bytes;
        self.batches.push(rows);
        Ok(bytes)
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them, in their order if there is one; `None` if there are none.
    pub fn take(&mut self, schema: &SchemaRef, order: Option<&RowOrder>) -> Result<Option<RecordBatch>> {
        let WaitingRows { batches, .. } = std::mem::take(self);
        let rows = match batches.as_slice() {
            [] => return Ok(None),
            [one] => one.clone(),
            several => concat_batches(schema, several)?,
        };
        Ok(Some(match order {
            Some(order) => order.sorted(rows)?,
            None => rows,
        }))
    }
}
