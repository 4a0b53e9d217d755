//! Partitions and order of tables that we write, by PyIceberg's own transforms; tables that PyIceberg has made keep theirs.

use crate::environments::Environment;
use crate::rows::{append, create};
use crate::script;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use connector_iceberg::{TableOptions, Warehouse};
use dataflow::{PartitionField, PartitionTransform, SortField, TableLayout};
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;

/// Rows of random values of all types, every ninth of them NULL: negative ones, times before 1970, texts beyond the first
/// plane of Unicode.
fn random_rows(count: u64) -> RecordBatch {
    let mut state = 42_u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut random = |below: i64| {
        let mut one = || {
            let number = next(2 * below as u64) as i64 - below;
            (next(9) > 0).then_some(number)
        };
        (0..count).map(|_| one()).collect::<Vec<Option<i64>>>()
    };
    let letters = ["a", "ß", "中", "😀", "Z", "\u{ffff}"];
    let text = |number: Option<i64>| {
        number.map(|n| {
            let at = |place: i64| letters[(n.unsigned_abs() as usize / 6_usize.pow(place as u32)) % letters.len()];
            (0..n.rem_euclid(5)).map(at).collect::<String>()
        })
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("long", Arc::new(Int64Array::from(random(1 << 40)))),
        ("int", Arc::new(random(12).into_iter().map(|n| n.map(|n| n as i32)).collect::<Int32Array>())),
        ("double", Arc::new(random(3).into_iter().map(|n| n.map(|n| n as f64 / 2.0)).collect::<Float64Array>())),
        ("float", Arc::new(random(3).into_iter().map(|n| n.map(|n| n as f32 / 2.0)).collect::<Float32Array>())),
        ("flag", Arc::new(random(2).into_iter().map(|n| n.map(|n| n > 0)).collect::<BooleanArray>())),
        ("text", Arc::new(random(1000).into_iter().map(text).collect::<StringArray>())),
        ("at", Arc::new(random(4 * DAY).into_iter().collect::<TimestampMicrosecondArray>())),
        (
            "bytes",
            Arc::new(
                random(300).into_iter().map(|n| n.map(|n| n.to_be_bytes()[6..].to_vec())).collect::<BinaryArray>(),
            ),
        ),
        ("date", Arc::new(random(900).into_iter().map(|n| n.map(|n| n as i32)).collect::<Date32Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

#[test]
fn pyiceberg_finds_the_partition_of_every_row_where_we_put_it() {
    use PartitionTransform::{Bucket, Day, Hour, Identity, Month, Truncate, Year};
    let python = Environment::pyiceberg();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let rows = random_rows(400);
    let layouts: [(&str, &[(PartitionTransform, &str)], &[&str]); 6] = [
        ("lake.times", &[(Year, "date"), (Month, "at")], &["long"]),
        ("lake.days", &[(Day, "at"), (Month, "date")], &[]),
        ("lake.hours", &[(Hour, "at")], &["text", "long"]),
        ("lake.buckets", &[(Bucket(5), "text"), (Bucket(3), "at"), (Bucket(2), "date"), (Bucket(2), "bytes")], &[]),
        (
            "lake.numbers",
            &[(Bucket(7), "long"), (Bucket(2), "int"), (Truncate(10), "int"), (Identity, "flag")],
            &["at"],
        ),
        ("lake.cuts", &[(Truncate(2), "text"), (Truncate(1), "bytes"), (Identity, "flag")], &["double", "date"]),
    ];
    let mut tables = Vec::new();
    for (table, cuts, sorts) in layouts {
        let cut = |(transform, column): &(PartitionTransform, &str)| PartitionField {
            column: (*column).to_owned(),
            transform: *transform,
        };
        let sort = |column: &&str| SortField { column: (*column).to_owned(), descending: false, nulls_first: false };
        let layout = TableLayout {
            partition_by: cuts.iter().map(cut).collect(),
            sort_by: sorts.iter().map(sort).collect(),
            properties: Vec::new(),
        };
        create(&warehouse, table, &rows.schema(), &TableOptions { layout, ..TableOptions::default() }).unwrap();
        append(&warehouse, table, &[rows.slice(0, 150), rows.slice(150, 250)]).unwrap();
        tables.push(table);
    }
    let dir = warehouse.dir().to_str().unwrap();
    assert_eq!(python.run(&script("pyiceberg_layouts.py"), &["make", dir]).trim(), "made");
    append(&warehouse, "made.theirs", &[rows.slice(0, 150), rows.slice(150, 250)]).unwrap();
    tables.push("made.theirs");
    let told = python.run(&script("pyiceberg_layouts.py"), &[&["read", dir], tables.as_slice()].concat());
    let expected: Vec<String> = tables.iter().map(|table| format!("{table}: 400 rows")).collect();
    assert_eq!(told.trim().lines().collect::<Vec<_>>(), expected);
    let duckdb = Environment::duckdb();
    for table in &tables {
        let metadata = warehouse.metadata_file(table).unwrap();
        let told = duckdb.run(&script("duckdb_counts.py"), &[metadata.to_str().unwrap()]);
        assert_eq!(told.trim(), "400", "{table}");
    }
}
