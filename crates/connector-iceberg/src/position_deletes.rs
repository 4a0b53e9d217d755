//! Which rows of data files are deleted by their positions, as delete files tell.

use crate::deletion_vector::positions_of;
use crate::live_files::LiveFile;
use crate::opened_file::{NamedFile, path_at};
use crate::stored_file::StoredFiles;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use dataflow::{Result, guarded};
use iceberg::metadata_columns::{
    RESERVED_COL_NAME_DELETE_FILE_PATH, RESERVED_COL_NAME_DELETE_FILE_POS, RESERVED_FIELD_ID_DELETE_FILE_PATH,
    RESERVED_FIELD_ID_DELETE_FILE_POS,
};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::SchemaDescriptor;
use roaring::RoaringTreemap;
use std::collections::HashMap;
use std::ops::Range;

/// How many rows of a delete file are read at once.
const BATCH_ROWS: usize = 8 << 10;

/// The deleted positions of data files, by their locations.
#[derive(Debug, Default)]
pub struct DeletedPositions(HashMap<String, RoaringTreemap>);

impl DeletedPositions {
    /// Reads a file of position deletes. Of data files that `rows_of` does not know nothing is kept, nor are positions
    /// after the end of a data file.
    pub fn read(
        table: &str,
        delete: &LiveFile,
        stores: &StoredFiles,
        rows_of: &HashMap<String, u64>,
    ) -> Result<DeletedPositions> {
        let path = path_at(delete.file.file_path());
        let named = named(table, &path, delete);
        let opened = named.open(stores)?;
        let footer = named.footer(&opened)?;
        named.check_rows(&footer)?;
        let schema = footer.metadata().file_metadata().schema_descr();
        let columns = [
            (RESERVED_FIELD_ID_DELETE_FILE_PATH, RESERVED_COL_NAME_DELETE_FILE_PATH),
            (RESERVED_FIELD_ID_DELETE_FILE_POS, RESERVED_COL_NAME_DELETE_FILE_POS),
        ];
        let root = |(id, name)| {
            root_of(schema, id, name)
                .ok_or_else(|| named.failed(&format!("has no column \"{name}\"; restore the file")))
        };
        let [paths, positions] = [root(columns[0])?, root(columns[1])?];
        let mut roots = [paths, positions];
        roots.sort_unstable();
        let groups = (0..footer.metadata().num_row_groups()).collect();
        let mut deleted = DeletedPositions::default();
        for batch in named.read(opened, footer, (&roots, groups), BATCH_ROWS)? {
            let batch = batch?;
            let column = |root: usize| batch.column(usize::from(root == roots[1]));
            let typed = |column: &ArrayRef, to: DataType| {
                let typed = cast(column, &to).ok().filter(|typed| typed.null_count() == 0);
                typed.ok_or_else(|| named.failed("has columns of other types than those of deletes; restore the file"))
            };
            let (paths, positions) =
                (typed(column(paths), DataType::Utf8)?, typed(column(positions), DataType::Int64)?);
            if positions.as_primitive::<Int64Type>().values().iter().any(|&position| position < 0) {
                return Err(named.failed("has a position below 0; restore the file"));
            }
            deleted.add(paths.as_string(), positions.as_primitive(), rows_of);
        }
        Ok(deleted)
    }

    /// Adds positions, those of one data file mostly after each other.
    fn add(&mut self, paths: &StringArray, positions: &Int64Array, rows_of: &HashMap<String, u64>) {
        let mut begin = 0;
        while begin < paths.len() {
            let path = paths.value(begin);
            let end = (begin + 1..paths.len()).find(|&row| paths.value(row) != path).unwrap_or(paths.len());
            if let Some(&rows) = rows_of.get(path) {
                let positions = positions.values()[begin..end].iter().map(|&position| position as u64);
                let of_file = self.0.entry(path.to_owned()).or_default();
                of_file.extend(positions.filter(|&position| position < rows));
            }
            begin = end;
        }
    }

    /// Reads a deletion vector. The index has checked that it tells where it lies.
    pub fn read_vector(table: &str, delete: &LiveFile, stores: &StoredFiles) -> Result<DeletedPositions> {
        let path = path_at(delete.file.file_path());
        let named = named(table, &path, delete);
        let opened = named.open(stores)?;
        let (offset, size) = (delete.file.content_offset(), delete.file.content_size_in_bytes());
        let place = offset.and_then(|at| u64::try_from(at).ok()).zip(size.and_then(|size| usize::try_from(size).ok()));
        let place = place.filter(|(at, size)| at.saturating_add(*size as u64) <= named.bytes);
        let Some((at, size)) = place else {
            return Err(named.failed("is said to have a deletion vector outside of the file"));
        };
        let broken = |why: &str| named.failed(&format!("has a deletion vector that {why}; restore the file"));
        let read = || {
            let blob = opened.get_bytes(at, size).map_err(|error| match opened.take_failure() {
                Some(failure) => failure.context(format!("{} cannot be read", named.place())),
                None => broken("cannot be read").with_source(error),
            })?;
            positions_of(&blob, named.rows).map_err(|why| broken(&why))
        };
        let positions = guarded(|why| broken(&format!("cannot be read ({why})")), read)?;
        let of = delete.file.referenced_data_file().unwrap_or_default();
        Ok(DeletedPositions(HashMap::from([(of, positions)])))
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let of_file =
            |(path, positions): (&String, &RoaringTreemap)| 2 * path.len() + positions.serialized_size() + 128;
        self.0.iter().map(of_file).sum()
    }

    /// Takes what is deleted out of a range of rows of a data file, of which each has a place in `kept`.
    pub fn take_out(&self, path: &str, rows: Range<u64>, kept: &mut [bool]) {
        let Some(positions) = self.0.get(path) else { return };
        let mut deleted = positions.iter();
        deleted.advance_to(rows.start);
        for position in deleted.take_while(|position| *position < rows.end) {
            kept[(position - rows.start) as usize] = false;
        }
    }
}

fn named<'a>(table: &'a str, path: &'a str, delete: &LiveFile) -> NamedFile<'a> {
    let file = &delete.file;
    NamedFile { table, kind: "delete file", path, bytes: file.file_size_in_bytes(), rows: file.record_count() }
}

/// A root column by its id, or by its name in a file without ids.
fn root_of(schema: &SchemaDescriptor, id: i32, name: &str) -> Option<usize> {
    let fields = schema.root_schema().get_fields();
    let info = |at: &usize| fields[*at].get_basic_info();
    let by_id = (0..fields.len()).find(|at| info(at).has_id() && info(at).id() == id);
    by_id.or_else(|| (0..fields.len()).find(|at| !info(at).has_id() && fields[*at].name() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_out_of_the_range_that_was_read() {
        let paths = StringArray::from(vec!["a", "a", "b", "a", "gone", "a"]);
        let positions = Int64Array::from(vec![3, 7, 0, 5, 1, 10]);
        let mut deleted = DeletedPositions::default();
        deleted.add(&paths, &positions, &HashMap::from([("a".to_owned(), 10), ("b".to_owned(), 2)]));
        let kept = |path: &str, rows: Range<u64>| {
            let mut kept = vec![true; (rows.end - rows.start) as usize];
            deleted.take_out(path, rows.clone(), &mut kept);
            rows.zip(kept).filter(|(_, kept)| *kept).map(|(row, _)| row).collect::<Vec<_>>()
        };
        assert_eq!(kept("a", 0..10), [0, 1, 2, 4, 6, 8, 9]);
        assert_eq!(kept("a", 4..8), [4, 6]);
        assert_eq!(kept("b", 0..2), [1]);
        assert_eq!(kept("gone", 0..2), [0, 1]);
        assert_eq!(deleted.0["a"].len(), 3, "there is no row 10");
    }
}
