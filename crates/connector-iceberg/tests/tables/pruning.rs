//! What holds no wanted row is not opened, and what is read holds all wanted rows.

use crate::layouts::cut_by;
use crate::rows::{DAY, all_types, append, create, read};
use arrow::array::{Array, AsArray, RecordBatch, cast::as_boolean_array};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use connector_iceberg::{TableOptions, Warehouse};
use dataflow::{FilterComparison, FilterValue, PartitionTransform, RowFilter, TimedFiles};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::path::Path;
use std::sync::Arc;

const COLUMNS: [&str; 9] = ["long", "int", "double", "float", "flag", "text", "at", "bytes", "date"];

fn read_where(warehouse: &Warehouse, filter: &RowFilter) -> dataflow::Result<Arc<dyn TimedFiles>> {
    warehouse.read_where("lake.t", None, &|_| filter.clone())
}

fn by_day() -> TableOptions {
    TableOptions { partition_day: Some("at".to_owned()), ..TableOptions::default() }
}

/// The files in a folder with such an end.
fn files_ending(folder: &Path, end: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_ending(&path, end)),
            false if path.to_str().unwrap().ends_with(end) => found.push(path),
            false => {}
        }
    }
    found
}

#[test]
fn manifests_and_files_of_other_days_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let rows = |day: i64| all_types(&[Some(3 * day), Some(3 * day + 1)]);
    create(&warehouse, "lake.t", &rows(0).schema(), &by_day()).unwrap();
    let mut manifests_of_day = Vec::new();
    for day in 10..14 {
        let before = files_ending(folder.path(), "-m0.avro");
        append(&warehouse, "lake.t", &[rows(day)]).unwrap();
        manifests_of_day.push(files_ending(folder.path(), "-m0.avro").into_iter().find(|file| !before.contains(file)));
    }
    let one_day = RowFilter::all(vec![
        RowFilter::compare("at", FilterComparison::GreaterOrEqual, FilterValue::Instant(11 * DAY)),
        RowFilter::compare("at", FilterComparison::Less, FilterValue::Instant(12 * DAY)),
    ]);
    for (at, manifest) in manifests_of_day.into_iter().enumerate().filter(|(at, _)| *at != 1) {
        std::fs::remove_file(manifest.unwrap_or_else(|| panic!("the commit of day {at} wrote no manifest"))).unwrap();
    }
    let data = files_ending(&folder.path().join("lake/t/data"), ".parquet");
    let others = data.iter().filter(|file| !file.to_str().unwrap().contains("at_day=1970-01-12"));
    others.for_each(|file| std::fs::remove_file(file).unwrap());
    assert_eq!(read(&*read_where(&warehouse, &one_day).unwrap(), &COLUMNS), rows(11));
    let error = warehouse.read("lake.t").err().unwrap().chain();
    assert!(error.contains("manifest"), "{error}");
    // Where nothing at all is wanted, nothing is opened.
    assert_eq!(read_where(&warehouse, &RowFilter::nothing()).unwrap().files().len(), 0);
}

#[test]
fn files_of_one_manifest_are_told_apart_by_the_bounds_of_columns() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let rows = all_types(&[Some(0), Some(3), Some(6), Some(9), None]);
    create(&warehouse, "lake.t", &rows.schema(), &by_day()).unwrap();
    append(&warehouse, "lake.t", &[rows]).unwrap();
    let count = |filter: RowFilter| read_where(&warehouse, &filter).unwrap().files().len();
    assert_eq!(count(RowFilter::everything()), 5);
    assert_eq!(count(RowFilter::compare("long", FilterComparison::Greater, FilterValue::Whole(3))), 2);
    assert_eq!(count(RowFilter::compare("int", FilterComparison::Less, FilterValue::Number(-6.5))), 1);
    assert_eq!(count(RowFilter::compare("text", FilterComparison::Equal, FilterValue::Text("größe 9".into()))), 1);
    assert_eq!(count(RowFilter::compare("date", FilterComparison::Equal, FilterValue::Instant(33 * DAY))), 1);
    assert_eq!(count(RowFilter::compare("at", FilterComparison::Equal, FilterValue::Date(2))), 1);
    assert_eq!(count(RowFilter::IsNull("long".into())), 1);
    assert_eq!(count(RowFilter::IsNotNull("at".into())), 4);
    // A column that is not there lets everything pass, and one of another type all that is not NULL.
    assert_eq!(count(RowFilter::IsNull("gone".into())), 5);
    assert_eq!(count(RowFilter::compare("text", FilterComparison::Equal, FilterValue::Whole(1))), 4);
}

fn value(rows: &RecordBatch, column: &str, row: usize) -> Option<FilterValue> {
    let column = rows.column_by_name(column)?;
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Int32 => FilterValue::Whole(i64::from(column.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => FilterValue::Whole(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => FilterValue::Number(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => FilterValue::Number(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => FilterValue::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => FilterValue::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::Date32 => FilterValue::Date(column.as_primitive::<Date32Type>().value(row)),
        DataType::Boolean => FilterValue::Boolean(as_boolean_array(column).value(row)),
        _ => FilterValue::Instant(column.as_primitive::<TimestampMicrosecondType>().value(row)),
    })
}

fn fulfils(filter: &RowFilter, rows: &RecordBatch, row: usize) -> bool {
    use FilterValue::{Boolean, Bytes, Date, Instant, Number, Text, Whole};
    match filter {
        RowFilter::All(filters) => filters.iter().all(|filter| fulfils(filter, rows, row)),
        RowFilter::Any(filters) => filters.iter().any(|filter| fulfils(filter, rows, row)),
        RowFilter::IsNull(column) => value(rows, column, row).is_none(),
        RowFilter::IsNotNull(column) => value(rows, column, row).is_some(),
        RowFilter::Compare { column, comparison, value: wanted } => {
            let Some(value) = value(rows, column, row) else { return false };
            let order = match (&value, wanted) {
                (Whole(one), Whole(other)) => one.cmp(other),
                (Number(one), Number(other)) => {
                    one.partial_cmp(other).unwrap_or_else(|| one.is_nan().cmp(&other.is_nan()))
                }
                (Text(one), Text(other)) => one.cmp(other),
                (Bytes(one), Bytes(other)) => one.cmp(other),
                (Date(one), Date(other)) => one.cmp(other),
                (Instant(one), Instant(other)) => one.cmp(other),
                (Boolean(one), Boolean(other)) => one.cmp(other),
                other => panic!("{other:?} are not compared"),
            };
            match comparison {
                FilterComparison::Equal => order.is_eq(),
                FilterComparison::Less => order.is_lt(),
                FilterComparison::LessOrEqual => order.is_le(),
                FilterComparison::Greater => order.is_gt(),
                FilterComparison::GreaterOrEqual => order.is_ge(),
            }
        }
    }
}

/// A condition on some columns, with values as the tables have them.
fn filters() -> impl Strategy<Value = RowFilter> {
    let comparisons = proptest::sample::select(vec![
        FilterComparison::Equal,
        FilterComparison::Less,
        FilterComparison::LessOrEqual,
        FilterComparison::Greater,
        FilterComparison::GreaterOrEqual,
    ]);
    let leaf = (proptest::sample::select(COLUMNS.to_vec()), comparisons, 0u8..8, -24i64..24).prop_map(
        |(column, comparison, kind, number)| match kind {
            0 => RowFilter::IsNull(column.to_owned()),
            1 => RowFilter::IsNotNull(column.to_owned()),
            2 if column == "double" => RowFilter::compare(column, comparison, FilterValue::Number(f64::NAN)),
            _ => RowFilter::compare(column, comparison, value(&all_types(&[Some(number)]), column, 0).unwrap()),
        },
    );
    leaf.prop_recursive(3, 12, 3, |inner| {
        let several = proptest::collection::vec(inner, 0..3);
        prop_oneof![several.clone().prop_map(RowFilter::all), several.prop_map(RowFilter::any)]
    })
}

fn wanted(files: &dyn TimedFiles, filter: &RowFilter) -> Vec<String> {
    let rows = read(files, &COLUMNS);
    let text = |row: usize| {
        let cells =
            rows.columns().iter().map(|column| arrow::util::display::array_value_to_string(column, row).unwrap());
        cells.collect::<Vec<_>>().join("|")
    };
    let mut texts: Vec<String> = (0..rows.num_rows()).filter(|&row| fulfils(filter, &rows, row)).map(text).collect();
    texts.sort();
    texts
}

/// Tables cut in all ways.
fn layouts() -> Vec<TableOptions> {
    use PartitionTransform::{Bucket, Day, Hour, Identity, Month, Truncate, Year};
    vec![
        TableOptions::default(),
        by_day(),
        cut_by(&[(Identity, "date"), (Bucket(3), "long")]),
        cut_by(&[(Truncate(7), "text"), (Identity, "flag")]),
        cut_by(&[(Truncate(10), "int"), (Year, "date")]),
        cut_by(&[(Truncate(1), "bytes"), (Hour, "at")]),
        cut_by(&[(Bucket(2), "text"), (Bucket(2), "at"), (Bucket(2), "date")]),
        cut_by(&[(Month, "at"), (Identity, "flag")]),
        cut_by(&[(Bucket(4), "int"), (Bucket(2), "bytes"), (Day, "date"), (Truncate(9), "long")]),
        cut_by(&[(Identity, "at"), (Identity, "date")]),
    ]
}

#[test]
fn what_is_pruned_holds_no_wanted_row() {
    let tables =
        proptest::collection::vec(proptest::collection::vec(proptest::option::weighted(0.9, -20i64..20), 1..6), 1..6);
    let mut runner = TestRunner::new(ProptestConfig { cases: 16, ..ProptestConfig::default() });
    let case = (proptest::sample::select(layouts()), tables, proptest::collection::vec(filters(), 24));
    let test = |(options, commits, filters): (TableOptions, Vec<Vec<Option<i64>>>, Vec<RowFilter>)| {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        create(&warehouse, "lake.t", &all_types(&[]).schema(), &options).unwrap();
        for numbers in &commits {
            append(&warehouse, "lake.t", &[all_types(numbers)]).unwrap();
        }
        let all = warehouse.read("lake.t").unwrap();
        for filter in filters {
            let pruned = read_where(&warehouse, &filter).unwrap();
            prop_assert!(pruned.files().len() <= all.files().len());
            prop_assert_eq!(wanted(&*pruned, &filter), wanted(&*all, &filter), "{:?}", filter);
        }
        Ok(())
    };
    runner.run(&case, test).unwrap_or_else(|error| panic!("{error}"));
}
