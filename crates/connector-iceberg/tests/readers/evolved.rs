//! Tables whose files and columns came about in other ways than ours: files that were added, columns that changed.

use crate::environments::Environment;
use crate::rows::{append, create, read};
use crate::{script, warehouse};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use connector_iceberg::{CompactOptions, TableOptions, Warehouse};
use dataflow::{Bounds, Clock, ProcessingTime};
use std::fs;
use std::sync::Arc;

/// The rows of a table as text, sorted.
fn shown(warehouse: &Warehouse, table: &str, columns: &[&str]) -> Vec<String> {
    let rows = read(&*warehouse.read(table).unwrap(), columns);
    let value = |row: usize| {
        let cells = rows.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
        cells.collect::<Vec<_>>().join("|")
    };
    let mut shown: Vec<String> = (0..rows.num_rows()).map(value).collect();
    shown.sort();
    shown
}

#[test]
fn files_that_others_added_are_read_by_the_rules_of_the_format() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let told = python.run(&script("pyiceberg_adds_files.py"), &[warehouse.dir().to_str().unwrap()]);
    assert_eq!(told.trim(), "written");
    let rows = shown(&warehouse, "made.renamed", &["n", "title", "late", "other"]);
    assert_eq!(rows, ["1|a||", "2|b|7|"], "by the mapping, also under the name of then");
    let rows = shown(&warehouse, "made.parts", &["day", "site", "hour", "n"]);
    let expected = [
        "2024-01-01|a|2024-01-01T10:00:00|1",
        "2024-01-01|a|2024-01-01T10:00:00|2",
        "2024-01-02||2024-01-01T11:00:00|3",
    ];
    assert_eq!(rows, expected);
    assert_eq!(shown(&warehouse, "made.parts", &["day"]).len(), 3, "a partition's column alone has rows");
    let hour = 1_704_103_200_000_000;
    let files = warehouse.read("made.parts").unwrap();
    let mut bounds: Vec<_> = files.files().iter().map(|file| file.bounds.clone()).collect();
    bounds.sort_by_key(|bounds| bounds[0].1.min);
    let of = |at| vec![("hour".to_owned(), Bounds { min: at, max: at, nulls: 0 })];
    assert_eq!(bounds, [of(hour), of(hour + 3_600_000_000)]);
    let rows = shown(&warehouse, "made.int96", &["at", "n"]);
    assert_eq!(rows, ["1500-01-01T00:00:00.000007|1", "2024-01-01T00:00:00|2", "3000-01-01T00:00:00|-3"]);
    let rows = shown(&warehouse, "made.far", &["s", "l"]);
    let row = |at: &str| format!("{{at: {at}}}|[{at}]");
    assert_eq!(rows, [row("0001-01-01T00:00:00"), row("9999-12-31T23:59:59.999999")]);
    assert_eq!(shown(&warehouse, "made.unmapped", &["n"]), ["1"]);
    let files = warehouse.read("made.unmapped").unwrap();
    let error = files.open(0, 0..1, &["m".to_owned()], 10).err().unwrap().to_string();
    assert!(error.contains("has no field ids and no column \"m\"") && error.contains("schema.name-mapping"), "{error}");
}

#[test]
fn what_we_wrote_is_read_under_columns_that_changed_since() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = warehouse(folder.path());
    let run = |step: &str| python.run(&script("pyiceberg_evolves.py"), &[warehouse.dir().to_str().unwrap(), step]);
    assert_eq!(run("change").trim(), "40 rows");
    let rows = shown(&warehouse, "lake.cut", &["n", "title", "small", "flag", "text"]);
    let row = |n: i64| if n % 7 == 6 { format!("{n}||||") } else { format!("{n}|ß{n:02}|{}||", n - 20) };
    let mut expected: Vec<String> = (0..40).map(row).collect();
    expected.sort();
    assert_eq!(rows, expected);
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("happened", Arc::new(TimestampMicrosecondArray::from(vec![crate::START]))),
        ("n", Arc::new(Int64Array::from(vec![40]))),
        ("small", Arc::new(Int64Array::from(vec![1 << 40]))),
        ("title", text("last")),
        ("flag", text("f")),
        ("text", text("t")),
    ];
    append(&warehouse, "lake.cut", &[RecordBatch::try_from_iter(columns).unwrap()]).unwrap();
    assert_eq!(run("look").trim(), "41 rows");
    // Manifests from before and after a column was widened come together.
    let columns = ["n", "title", "small", "flag", "text"];
    let before = shown(&warehouse, "lake.cut", &columns);
    let compacted = warehouse.compact("lake.cut", CompactOptions::default(), &Stands, &mut |_| true).unwrap();
    assert!(compacted.files_before > compacted.files_after && compacted.given_up == 0, "{compacted:?}");
    assert_eq!(shown(&warehouse, "lake.cut", &columns), before);
    assert_eq!(run("look").trim(), "41 rows");
}

/// A clock that stands.
struct Stands;

impl Clock for Stands {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(0)
    }
}

#[test]
fn fields_of_structs_are_those_of_their_ids_also_once_the_table_is_compacted() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let folder = warehouse.dir().to_str().unwrap();
    assert_eq!(python.run(&script("pyiceberg_nested.py"), &[folder, "write"]).trim(), "4 rows");
    let expected = ["1|{a2: 10, b: , in: {y: x}}", "2|{a2: 20, b: , in: {y: y}}", "3|{a2: 30, b: c, in: {y: z}}", "4|"];
    assert_eq!(shown(&warehouse, "made.nested", &["n", "s"]), expected);
    let compacted = warehouse.compact("made.nested", CompactOptions::default(), &Stands, &mut |_| true).unwrap();
    assert_eq!((compacted.files_before, compacted.files_after), (2, 1));
    assert_eq!(shown(&warehouse, "made.nested", &["n", "s"]), expected);
    assert_eq!(python.run(&script("pyiceberg_nested.py"), &[folder, "read"]).trim(), "4 rows");
}

/// What the scripts print: how many rows, and the rows.
fn printed(told: &str) -> (&str, &str) {
    told.trim().split_once('\n').unwrap()
}

#[test]
fn columns_of_every_type_are_what_they_were_once_the_table_is_compacted() {
    let (python, duckdb) = (Environment::pyiceberg(), Environment::duckdb());
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let folder = warehouse.dir().to_str().unwrap();
    let before = python.run(&script("pyiceberg_every_type.py"), &[folder, "write"]);
    for table in ["made.every", "made.sorted"] {
        let compacted = warehouse.compact(table, CompactOptions::default(), &Stands, &mut |_| true).unwrap();
        assert_eq!((compacted.files_before, compacted.files_after, compacted.rows_after), (4, 1, 10), "{table}");
    }
    let after = python.run(&script("pyiceberg_every_type.py"), &[folder, "read"]);
    assert_eq!(printed(&before).0, "10 rows");
    assert_eq!(printed(&after), printed(&before));
    // By what the new file itself says of its columns.
    let files = warehouse.read("made.every").unwrap();
    let told = duckdb.run(&script("duckdb_every_type.py"), &[&files.files()[0].path]);
    assert_eq!(printed(&told), printed(&before));
}

#[test]
fn fields_within_others_are_found_by_names_of_then_and_have_the_types_of_now() {
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let folder = warehouse.dir().to_str().unwrap();
    assert_eq!(python.run(&script("pyiceberg_inner.py"), &[folder, "write"]).trim(), "3 rows");
    let expected = ["1|{a2: 10, b: 100}|{b: 10, a: 100}", "1|{a2: 10, b: 100}|{b: 100, a: 10}", "2|{a2: 20, b: 200}|"];
    assert_eq!(shown(&warehouse, "made.mapped", &["n", "s", "t"]), expected);
    let compacted = warehouse.compact("made.mapped", CompactOptions::default(), &Stands, &mut |_| true).unwrap();
    assert_eq!((compacted.files_before, compacted.files_after), (2, 1));
    assert_eq!(shown(&warehouse, "made.mapped", &["n", "s", "t"]), expected);
    assert_eq!(python.run(&script("pyiceberg_inner.py"), &[folder, "read"]).trim(), "3 rows");
    let row = |b: &str| format!("1|[1, 2]|[{{z: 1, b: {b}}}]|{{k: 1}}|[2020-01-01T01:02:03.000004Z]|[ff]");
    let rows = shown(&warehouse, "made.lists", &["n", "l", "ls", "m", "z", "y"]);
    // In the file without ids the field that is called b is the one that the table calls so now.
    assert_eq!(rows, [row("2"), row(""), "2||[]|{}||[]".to_owned(), "2||[]|{}||[]".to_owned()]);
}

#[test]
fn rows_from_before_a_column_have_its_initial_default() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let number = |n: i64| {
        RecordBatch::try_from_iter_with_nullable([("n", Arc::new(Int64Array::from(vec![n])) as ArrayRef, true)])
            .unwrap()
    };
    create(&warehouse, "lake.t", &number(0).schema(), &TableOptions::default()).unwrap();
    append(&warehouse, "lake.t", &[number(1)]).unwrap();
    // As a table of format version 3 has it; none of the tools here writes one.
    let path = warehouse.metadata_file("lake.t").unwrap();
    let mut metadata: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    metadata["format-version"] = 3.into();
    metadata["next-row-id"] = 0.into();
    metadata["last-column-id"] = 6.into();
    let added = serde_json::json!([
        { "id": 2, "name": "site", "required": true, "type": "string", "initial-default": "main" },
        { "id": 3, "name": "weight", "required": false, "type": "double", "initial-default": 0.5 },
        { "id": 4, "name": "at", "required": false, "type": "timestamp", "initial-default": "2024-01-01T00:00:00" },
        { "id": 5, "name": "none", "required": false, "type": "long" },
        { "id": 6, "name": "needed", "required": true, "type": "long" },
    ]);
    metadata["schemas"][0]["fields"].as_array_mut().unwrap().extend(added.as_array().unwrap().iter().cloned());
    fs::write(&path, metadata.to_string()).unwrap();
    let rows = shown(&warehouse, "lake.t", &["weight", "n", "site", "at", "none"]);
    assert_eq!(rows, ["0.5|1|main|2024-01-01T00:00:00|"]);
    let files = warehouse.read("lake.t").unwrap();
    let error = files.open(0, 0..1, &["needed".to_owned()], 10).err().unwrap().to_string();
    assert!(error.contains("lacks column \"needed\", which the table requires"), "{error}");
}
