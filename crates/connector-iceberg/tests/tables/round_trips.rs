//! What is written is what is read.

use crate::rows::{DAY, all_types, append, archive, batch, create, numbers, read, sorted_numbers};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use connector_iceberg::{TableClaim, TableOptions, Warehouse};
use dataflow::{Bounds, RowGroup, Sink};
use std::sync::Arc;

fn sorted(rows: &RecordBatch) -> RecordBatch {
    let by = SortColumn { values: rows.column_by_name("long").unwrap().clone(), options: None };
    take_record_batch(rows, &lexsort_to_indices(&[by], None).unwrap()).unwrap()
}

fn by_day(column: &str) -> TableOptions {
    let properties = vec![("owner".into(), "tests".into())];
    TableOptions { partition_day: Some(column.into()), properties, ..TableOptions::default() }
}

#[test]
fn every_type_and_null_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let rows = all_types(&[Some(1), None, Some(-20), Some(300), None]);
    for (table, options) in [("lake.plain", TableOptions::default()), ("lake.cut", by_day("at"))] {
        create(&warehouse, table, &rows.schema(), &options).unwrap();
        append(&warehouse, table, std::slice::from_ref(&rows)).unwrap();
        let files = warehouse.read(table).unwrap();
        assert_eq!(files.schema(), rows.schema());
        let names: Vec<&str> = rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(sorted(&read(&*files, &names)), sorted(&rows), "{table}");
        assert_eq!(warehouse.rows(table).unwrap(), 5);
    }
    assert_eq!(warehouse.tables().unwrap(), ["lake.cut", "lake.plain"]);
    assert_eq!(warehouse.properties("lake.cut").unwrap()["owner"], "tests");
}

#[test]
fn columns_come_in_the_sequence_asked_for_and_only_those() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let rows = all_types(&[Some(1), Some(2)]);
    create(&warehouse, "t", &rows.schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "t", std::slice::from_ref(&rows)).unwrap();
    let files = warehouse.read("default.t").unwrap();
    let some = read(&*files, &["text", "long"]);
    assert_eq!(some.column(0), rows.column_by_name("text").unwrap());
    assert_eq!(some.column(1), rows.column_by_name("long").unwrap());
    assert_eq!(read(&*files, &[]).num_rows(), 2);
}

#[test]
fn row_groups_are_listed_by_the_manifest_and_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let rows = numbers(0..300_000);
    create(&warehouse, "lake.t", &rows.schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "lake.t", &[rows]).unwrap();
    let files = warehouse.read("lake.t").unwrap();
    // How many rows each has is known from the footer alone, which is not read to list them.
    assert_eq!(files.files()[0].groups, vec![RowGroup { rows: None, bounds: Vec::new() }; 3]);
    let mut found: Vec<i64> = Vec::new();
    for group in 0..3 {
        let before = found.len();
        for batch in files.open(0, group..group + 1, &["n".to_owned()], 10_000).unwrap() {
            found.extend(batch.unwrap().column(0).as_primitive::<Int64Type>().values());
        }
        assert_eq!(found.len() - before, (300_000 - before).min(128 << 10), "row group {group}");
    }
    assert_eq!(found, (0..300_000).collect::<Vec<i64>>());
}

#[test]
fn a_table_cut_by_day_has_one_file_per_day_with_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let times = TimestampMicrosecondArray::from(vec![Some(5), Some(DAY + 1), Some(7), None, Some(-1)]);
    let other = TimestampMicrosecondArray::from(vec![None, Some(2), Some(3), Some(4), Some(5)]);
    let columns = [("at", Arc::new(times) as ArrayRef), ("other", Arc::new(other) as ArrayRef)];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    create(&warehouse, "lake.t", &rows.schema(), &by_day("at")).unwrap();
    append(&warehouse, "lake.t", &[rows]).unwrap();
    let files = warehouse.read("lake.t").unwrap();
    let bounds = |name: &str, min, max, nulls| (name.to_owned(), Bounds { min, max, nulls });
    let expected = [
        (1, vec![bounds("at", -1, -1, 0), bounds("other", 5, 5, 0)]),
        (2, vec![bounds("at", 5, 7, 0), bounds("other", 3, 3, 1)]),
        (1, vec![bounds("at", DAY + 1, DAY + 1, 0), bounds("other", 2, 2, 0)]),
        // Bounds of a column without values are not known.
        (1, vec![bounds("other", 4, 4, 0)]),
    ];
    assert_eq!(files.files().len(), expected.len());
    for (rows, bounds) in expected {
        let found = files.files().iter().any(|file| file.rows == rows && file.bounds == bounds);
        assert!(found, "expected {rows} rows, {bounds:?} among {:?}", files.files());
    }
    assert!(files.files().iter().any(|file| file.path.contains("/data/at_day=1970-01-02/")), "{:?}", files.files());
}

#[test]
fn more_partitions_than_can_be_open_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let days = |step: i64| {
        let times = TimestampMicrosecondArray::from_iter_values((0..90).map(|n| (n * step) % 90 * DAY + n));
        RecordBatch::try_from_iter([("at", Arc::new(times) as ArrayRef)]).unwrap()
    };
    let batches = [days(1), days(7), days(11)];
    create(&warehouse, "lake.t", &batches[0].schema(), &by_day("at")).unwrap();
    append(&warehouse, "lake.t", &batches).unwrap();
    let rows = read(&*warehouse.read("lake.t").unwrap(), &["at"]);
    let values = |rows: &RecordBatch| {
        let mut values = rows.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        values.sort_unstable();
        values
    };
    let expected = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(values(&rows), values(&expected));
}

#[test]
fn columns_are_matched_by_name_and_missing_ones_are_null() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let rows = all_types(&[Some(4)]);
    create(&warehouse, "lake.t", &rows.schema(), &TableOptions::default()).unwrap();
    let some = rows.project(&[5, 0]).unwrap();
    append(&warehouse, "lake.t", &[some]).unwrap();
    let back = read(&*warehouse.read("lake.t").unwrap(), &["long", "text", "double"]);
    assert_eq!(back.column(0), rows.column(0));
    assert_eq!(back.column(1), rows.column(5));
    assert_eq!(back.column(2).null_count(), 1);
}

#[test]
fn rows_and_properties_come_in_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    let before = warehouse.metadata_file("lake.t").unwrap();
    let property = |value: &str| [("riverrun.frontier".to_owned(), value.to_owned())];
    archive(&warehouse, "lake.t", &[numbers(0..3)], &property("one")).unwrap();
    let log = std::fs::read_to_string(warehouse.metadata_file("lake.t").unwrap()).unwrap();
    assert!(log.contains(before.file_name().unwrap().to_str().unwrap()), "one metadata file after the first");
    assert_eq!(warehouse.properties("lake.t").unwrap()["riverrun.frontier"], "one");
    assert_eq!(warehouse.read("lake.t").unwrap().property("riverrun.frontier").unwrap(), "one");
    // A frontier moves on without rows, too.
    archive(&warehouse, "lake.t", &[], &property("two")).unwrap();
    let files = warehouse.read("lake.t").unwrap();
    assert_eq!(files.property("riverrun.frontier").unwrap(), "two");
    assert_eq!(files.files().len(), 1);
    assert_eq!(warehouse.rows("lake.t").unwrap(), 3);
}

#[test]
fn rows_that_are_not_the_archives_make_its_frontier_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse, "raw.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    archive(&warehouse, "raw.t", &[numbers(0..3)], &[("riverrun.frontier".into(), "one".into())]).unwrap();
    append(&warehouse, "raw.t", &[numbers(3..4)]).unwrap();
    let error = warehouse.read("raw.t").err().unwrap();
    assert!(error.to_string().contains("was not written by the archive job"), "{error}");
}

#[test]
fn a_reader_keeps_its_snapshot_while_rows_are_added() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "lake.t", &[numbers(0..3)]).unwrap();
    let files = warehouse.read("lake.t").unwrap();
    append(&warehouse, "lake.t", &[numbers(3..9)]).unwrap();
    assert_eq!(read(&*files, &["n"]).num_rows(), 3);
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..9).collect::<Vec<_>>());
}

#[test]
fn long_texts_have_short_bounds_and_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let texts = StringArray::from_iter_values(["é".repeat(5000), "\u{10FFFF}".repeat(100), String::new()]);
    let rows = RecordBatch::try_from_iter_with_nullable([("text", Arc::new(texts) as ArrayRef, true)]).unwrap();
    create(&warehouse, "lake.t", &rows.schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "lake.t", std::slice::from_ref(&rows)).unwrap();
    assert_eq!(read(&*warehouse.read("lake.t").unwrap(), &["text"]), rows);
}

#[test]
fn a_replaced_table_keeps_its_readers_and_a_new_one_that_takes_no_place_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    for table in ["lake.t", "lake.t2", "lake.u"] {
        create(&warehouse, table, &numbers([]).schema(), &TableOptions::default()).unwrap();
        append(&warehouse, table, &[numbers(0..3)]).unwrap();
    }
    let folders = || std::fs::read_dir(folder.path().join("lake/t")).unwrap().count();
    let claim = |table: &str| warehouse.claim(table, "test").unwrap();
    let new = |claim: &TableClaim, row: i64| {
        claim.replace(&numbers([]).schema(), &TableOptions::default()).unwrap();
        let mut writer = claim.writer(0).unwrap();
        writer.write(&batch(&numbers(row..row + 1))).unwrap();
        claim.committer().commit(vec![writer.prepare(1).unwrap().unwrap()]).unwrap();
    };
    let before = folders();
    new(&claim("lake.t"), 5);
    assert_eq!(folders(), before, "what has taken no place is gone with its claim");
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [0, 1, 2]);
    // A reader that has found the old tables, and both claims.
    let reader = warehouse.read("lake.t").unwrap();
    let (one, other) = (claim("lake.t"), claim("lake.t2"));
    new(&one, 7);
    new(&other, 8);
    TableClaim::take_places([&one, &other]).unwrap();
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [7]);
    assert_eq!(sorted_numbers(&warehouse, "lake.t2"), [8]);
    assert_eq!(sorted_numbers(&warehouse, "lake.u"), [0, 1, 2]);
    drop((one, other));
    drop(claim("lake.t"));
    assert_eq!(read(&*reader, &["n"]).num_rows(), 3, "whoever found the old table reads it to its end");
    // An hour later whoever claims the table removes the files.
    let hours_ago = std::time::UNIX_EPOCH;
    std::fs::File::open(folder.path().join("lake/t/replaced")).unwrap().set_modified(hours_ago).unwrap();
    drop(claim("lake.t"));
    assert_eq!(folders(), 1, "the folder of the one that is there");
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), [7]);
}
