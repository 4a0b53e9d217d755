//! Which rows are deleted by the values of some of their columns, as delete files tell. NULL is equal to NULL.

use crate::columns::{FieldNames, FileColumns, PartitionValues, roots_of};
use crate::live_files::LiveFile;
use crate::name::TableName;
use crate::opened_file::{NamedFile, path_at};
use crate::stored_column::ArrangedColumns;
use crate::stored_file::StoredFiles;
use crate::table;
use crate::unknown_types::unknown_types;
use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use dataflow::{Error, Result};
use iceberg::spec::{NestedField, NestedFieldRef, TableMetadata};
use std::collections::HashMap;
use std::sync::Arc;

/// How many rows of a delete file are read at once.
const BATCH_ROWS: usize = 8 << 10;
/// About what a key takes beside its bytes.
const KEY_BYTES: usize = 48;

/// A column by whose values rows are deleted, in the table's type.
#[derive(Clone, Debug)]
pub struct KeyColumn {
    pub column: Arc<NestedField>,
    pub field: Field,
}

/// The columns of some ids, as the newest schema that has them tells; a column that has no values to compare is an error.
pub fn key_columns(
    name: &TableName,
    metadata: &TableMetadata,
    ids: &[i32],
    delete: &LiveFile,
) -> Result<Vec<KeyColumn>> {
    let mut schemas: Vec<_> = metadata.schemas_iter().collect();
    // The newest first, and the current one before all.
    schemas.sort_by_key(|schema| {
        std::cmp::Reverse((schema.schema_id() == metadata.current_schema_id(), schema.schema_id()))
    });
    let unknown = unknown_types(metadata);
    let place = || format!("table \"{name}\": delete file \"{}\"", delete.file.file_path());
    let column = |&id: &i32| {
        let fields = schemas.iter().flat_map(|schema| schema.as_struct().fields());
        let found: Option<&NestedFieldRef> = fields.clone().find(|field| field.id == id);
        let is_plain = |column: &&NestedFieldRef| column.field_type.is_primitive() && !unknown.contains_key(&id);
        let Some(column) = found.filter(is_plain) else {
            let nested = schemas.iter().find_map(|schema| schema.name_by_field_id(id));
            return Err(match nested {
                Some(column) => Error::invalid(format!(
                    "{} deletes rows by column \"{column}\", and rows are deleted by columns of plain types alone that lie \
                     in no other; compact the table with the engine that wrote it, so that it has no such delete files",
                    place()
                )),
                None => {
                    Error::corrupt(format!("{} deletes rows by column {id}, which the table does not have", place()))
                }
            });
        };
        Ok(KeyColumn { column: column.clone(), field: table::arrow_field(name, column)? })
    };
    ids.iter().map(column).collect()
}

/// The keys of a group of delete files, each with the greatest sequence number under which it is deleted.
#[derive(Debug)]
pub struct DeletedKeys {
    converter: RowConverter,
    newest: HashMap<Box<[u8]>, i64>,
    bytes: usize,
}

impl DeletedKeys {
    /// No keys yet.
    pub fn new(columns: &[KeyColumn]) -> Result<DeletedKeys> {
        let types = columns.iter().map(|key| SortField::new(key.field.data_type().clone()));
        Ok(DeletedKeys { converter: RowConverter::new(types.collect())?, newest: HashMap::new(), bytes: 0 })
    }

    /// Adds the keys of a delete file. `check` is told how many bytes they take by then.
    pub fn read(
        &mut self,
        (table, delete): (&str, &LiveFile),
        (columns, names): (&[KeyColumn], Option<&Arc<FieldNames>>),
        stores: &StoredFiles,
        check: &dyn Fn(usize) -> Result<()>,
    ) -> Result<()> {
        let (file, path) = (&delete.file, path_at(delete.file.file_path()));
        let (bytes, rows) = (file.file_size_in_bytes(), file.record_count());
        let named = NamedFile { table, kind: "delete file", path: &path, bytes, rows };
        let opened = named.open(stores)?;
        let footer = named.footer(&opened)?;
        named.check_rows(&footer)?;
        let no_partition = PartitionValues::new();
        let own =
            FileColumns::new(footer.metadata().file_metadata().schema_descr(), names.map(Arc::as_ref), &no_partition);
        let sources = columns.iter().map(|key| {
            let source = own.source(&key.column, &key.field).ok().filter(|source| source.root().is_some());
            let source = source.ok_or_else(|| {
                named.failed(&format!("lacks column \"{}\", by which it deletes; restore the file", key.column.name))
            });
            Ok((key.column.clone(), key.field.clone(), source?))
        });
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let roots = roots_of(sources.iter().map(|(_, _, source)| source));
        let keys = ArrangedColumns::new(named.place(), sources, &roots, names.cloned());
        let groups = (0..footer.metadata().num_row_groups()).collect();
        for batch in named.read(opened, footer, (&roots, groups), BATCH_ROWS)? {
            self.add(keys.of(&batch?)?.columns(), delete.sequence)?;
            check(self.bytes)?;
        }
        Ok(())
    }

    fn add(&mut self, columns: &[ArrayRef], sequence: i64) -> Result<()> {
        let keys = self.keys(columns)?;
        for key in &keys {
            match self.newest.get_mut(key.as_ref()) {
                Some(newest) => *newest = sequence.max(*newest),
                None => {
                    self.bytes += key.as_ref().len() + KEY_BYTES;
                    self.newest.insert(key.as_ref().into(), sequence);
                }
            }
        }
        Ok(())
    }

    fn keys(&self, columns: &[ArrayRef]) -> Result<Rows> {
        let columns: Vec<ArrayRef> = columns.iter().map(with_one_nan).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// About how many bytes of memory they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes out of rows of a data file those whose key is deleted under a greater number than that of the file.
    pub fn take_out(&self, columns: &[ArrayRef], sequence: i64, kept: &mut [bool]) -> Result<()> {
        for (key, kept) in self.keys(columns)?.iter().zip(kept) {
            if self.newest.get(key.as_ref()).is_some_and(|&newest| newest > sequence) {
                *kept = false;
            }
        }
        Ok(())
    }
}

/// The same values, where all that is not a number has one form: it is equal to itself here. Zeros of either sign differ.
fn with_one_nan(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let one = |value: f32| if value.is_nan() { f32::NAN } else { value };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(one) as Float32Array)
        }
        DataType::Float64 => {
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(one) as Float64Array)
        }
        _ => column.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use iceberg::spec::{PrimitiveType, Type};

    fn columns(types: &[(PrimitiveType, DataType)]) -> Vec<KeyColumn> {
        let key = |(id, (own, arrow)): (usize, &(PrimitiveType, DataType))| KeyColumn {
            column: Arc::new(NestedField::optional(id as i32, "k", Type::Primitive(own.clone()))),
            field: Field::new("k", arrow.clone(), true),
        };
        types.iter().enumerate().map(key).collect()
    }

    fn kept(deleted: &DeletedKeys, columns: &[ArrayRef], sequence: i64) -> Vec<bool> {
        let mut kept = vec![true; columns[0].len()];
        deleted.take_out(columns, sequence, &mut kept).unwrap();
        kept
    }

    #[test]
    fn null_is_equal_to_null_and_all_columns_have_to_be() {
        let keys = columns(&[(PrimitiveType::Long, DataType::Int64), (PrimitiveType::String, DataType::Utf8)]);
        let mut deleted = DeletedKeys::new(&keys).unwrap();
        let rows = |numbers: Vec<Option<i64>>, texts: Vec<Option<&str>>| {
            [Arc::new(Int64Array::from(numbers)) as ArrayRef, Arc::new(StringArray::from(texts))]
        };
        deleted.add(&rows(vec![Some(1), None, None], vec![Some("a"), Some("a"), None]), 5).unwrap();
        let data = rows(
            vec![Some(1), Some(1), None, None, None, Some(2)],
            vec![Some("a"), None, Some("a"), Some(""), None, Some("a")],
        );
        assert_eq!(kept(&deleted, &data, 4), [false, true, false, true, false, true]);
    }

    #[test]
    fn a_key_is_deleted_from_files_older_than_the_newest_delete_of_it() {
        let mut deleted = DeletedKeys::new(&columns(&[(PrimitiveType::Long, DataType::Int64)])).unwrap();
        let numbers = |numbers: Vec<i64>| [Arc::new(Int64Array::from(numbers)) as ArrayRef];
        for (sequence, number) in [(7, 1), (5, 1), (5, 2)] {
            deleted.add(&numbers(vec![number]), sequence).unwrap();
        }
        let of = |sequence| kept(&deleted, &numbers(vec![1, 2, 3]), sequence);
        assert_eq!(of(4), [false, false, true]);
        assert_eq!([of(5), of(6)], [[false, true, true]; 2]);
        assert_eq!(of(7), [true; 3]);
        assert_eq!(deleted.bytes(), 2 * (9 + KEY_BYTES), "a key that comes again takes nothing");
    }

    #[test]
    fn what_is_no_number_is_equal_to_itself() {
        let mut deleted = DeletedKeys::new(&columns(&[(PrimitiveType::Double, DataType::Float64)])).unwrap();
        let numbers = |numbers: Vec<f64>| [Arc::new(Float64Array::from(numbers)) as ArrayRef];
        let other_nan = f64::from_bits(0xfff8_0000_0000_0001);
        deleted.add(&numbers(vec![f64::NAN, 0.0]), 5).unwrap();
        assert_eq!(kept(&deleted, &numbers(vec![other_nan, 0.0, -0.0, 1.0]), 4), [false, false, true, true]);
    }
}
