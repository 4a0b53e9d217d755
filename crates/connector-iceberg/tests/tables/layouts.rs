//! How rows lie in the files of a table: partitions, order, sizes, and what is told of columns.

use crate::rows::{DAY, all_types, append, create, read};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use connector_iceberg::{TableOptions, Warehouse};
use dataflow::{
    FilterComparison, FilterValue, PartitionField, PartitionTransform, RowFilter, SortField, TableLayout, TimedFiles,
};
use std::collections::HashSet;
use std::path::Path;

/// A layout of partitions as PARTITION BY has them.
pub fn cut_by(fields: &[(PartitionTransform, &str)]) -> TableOptions {
    let field = |(transform, column): &(PartitionTransform, &str)| PartitionField {
        column: (*column).to_owned(),
        transform: *transform,
    };
    let layout = TableLayout { partition_by: fields.iter().map(field).collect(), ..TableLayout::default() };
    TableOptions { layout, ..TableOptions::default() }
}

fn sorted_by(options: TableOptions, column: &str, descending: bool) -> TableOptions {
    let sort_by = vec![SortField { column: column.to_owned(), descending, nulls_first: false }];
    TableOptions { layout: TableLayout { sort_by, ..options.layout }, ..options }
}

fn table(folder: &Path, options: &TableOptions, batches: &[RecordBatch]) -> Warehouse {
    let warehouse = Warehouse::open(folder).unwrap();
    create(&warehouse, "lake.t", &batches[0].schema(), options).unwrap();
    append(&warehouse, "lake.t", batches).unwrap();
    warehouse
}

/// The column `long` of each file of a table.
fn longs(files: &dyn TimedFiles) -> Vec<Vec<Option<i64>>> {
    let names = ["long".to_owned()];
    let of = |file: usize| {
        let batches = files.open(file, files.files()[file].all_groups(), &names, 1000).unwrap();
        let numbers = |batch: RecordBatch| batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
        batches.flat_map(|batch| numbers(batch.unwrap())).collect()
    };
    (0..files.files().len()).map(of).collect()
}

#[test]
fn a_batch_with_many_partitions_becomes_one_file_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let batch = |from: i64| all_types(&(from..from + 300).map(|n| Some(n % 150)).collect::<Vec<_>>());
    let options = cut_by(&[(PartitionTransform::Identity, "long")]);
    let warehouse = table(folder.path(), &options, &[batch(0), batch(75), batch(7)]);
    let files = longs(&*warehouse.read("lake.t").unwrap());
    assert!(files.iter().all(|numbers| numbers.iter().collect::<HashSet<_>>().len() == 1), "one value in each file");
    assert_eq!(files.iter().map(Vec::len).sum::<usize>(), 900);
    // Those that had a file from the beginning on were closed for others at the end, and none twice.
    assert_eq!(files.len(), 150);
}

#[test]
fn nothing_is_written_where_partitions_are_values_that_do_not_come_back_from_a_checkpoint() {
    for column in ["double", "float"] {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path()).unwrap();
        let rows = all_types(&[Some(1)]);
        create(&warehouse, "lake.t", &rows.schema(), &cut_by(&[(PartitionTransform::Identity, column)])).unwrap();
        let error = append(&warehouse, "lake.t", &[rows]).unwrap_err().to_string();
        assert!(error.contains(&format!("is cut into partitions by \"{column}\" of type {column}")), "{error}");
    }
}

#[test]
fn rows_of_a_sorted_table_are_in_order_within_each_file() {
    let folder = tempfile::tempdir().unwrap();
    let numbers: Vec<Option<i64>> = (0..500).map(|n| (n % 50 != 49).then_some(n * 7919 % 500)).collect();
    let options = sorted_by(cut_by(&[(PartitionTransform::Bucket(3), "int")]), "long", true);
    let (first, second) = numbers.split_at(200);
    let warehouse = table(folder.path(), &options, &[all_types(first), all_types(second)]);
    let files = longs(&*warehouse.read("lake.t").unwrap());
    assert_eq!(files.len(), 4, "three buckets, and one of NULL");
    for numbers in &files {
        let values: Vec<i64> = numbers.iter().flatten().copied().collect();
        assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
        assert!(numbers[values.len()..].iter().all(Option::is_none), "NULL comes last");
    }
    assert_eq!(files.iter().map(Vec::len).sum::<usize>(), 500);
}

#[test]
fn files_have_the_size_that_a_property_says() {
    let folder = tempfile::tempdir().unwrap();
    let properties = vec![("write.target-file-size-bytes".to_owned(), "20000".to_owned())];
    let options = TableOptions { properties, ..TableOptions::default() };
    let noise = |n: i64| Some((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64 >> 44);
    let batch = |from: i64| all_types(&(from..from + 10_000).map(noise).collect::<Vec<_>>());
    let warehouse = table(folder.path(), &options, &[batch(0), batch(10_000), batch(20_000)]);
    let files = warehouse.read("lake.t").unwrap();
    assert_eq!(files.files().len(), 3, "each batch is larger than a file should be");
    assert_eq!(warehouse.rows("lake.t").unwrap(), 30_000);
}

#[test]
fn files_are_compressed_as_a_property_says() {
    use parquet::basic::Compression;
    for (codec, expected) in [
        ("gzip", Compression::GZIP(Default::default())),
        ("snappy", Compression::SNAPPY),
        ("lz4", Compression::LZ4_RAW),
        ("uncompressed", Compression::UNCOMPRESSED),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let property = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let properties = vec![
            property("write.parquet.compression-codec", codec),
            property("write.metadata.compression-codec", "gzip"),
        ];
        let rows = all_types(&(0..100).map(Some).collect::<Vec<_>>());
        let options = TableOptions { properties, ..TableOptions::default() };
        let warehouse = table(folder.path(), &options, &[rows.clone(), rows]);
        let described = warehouse.metadata_file("lake.t").unwrap();
        assert!(described.to_str().unwrap().ends_with(".gz.metadata.json"), "{}", described.display());
        let files = warehouse.read("lake.t").unwrap();
        assert_eq!(read(&*files, &["long", "text"]).num_rows(), 200, "{codec}");
        let file = std::fs::File::open(&files.files()[0].path).unwrap();
        let footer = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
        let columns = footer.row_group(0).columns();
        let is_it = |of: Compression| std::mem::discriminant(&of) == std::mem::discriminant(&expected);
        assert!(columns.iter().all(|column| is_it(column.compression())), "{codec}");
    }
}

#[test]
fn a_column_of_which_nothing_is_told_lets_every_file_pass() {
    let folder = tempfile::tempdir().unwrap();
    let property = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let properties = vec![
        property("write.metadata.metrics.default", "counts"),
        property("write.metadata.metrics.column.long", "full"),
        property("write.metadata.metrics.column.int", "none"),
        property("write.metadata.metrics.column.text", "truncate(2)"),
        property("write.parquet.bloom-filter-enabled.column.text", "true"),
    ];
    let options = TableOptions { properties, ..TableOptions::default() };
    let warehouse = table(folder.path(), &options, &[all_types(&[Some(1), Some(2)])]);
    let count = |column: &str, comparison, value| {
        let filter = RowFilter::compare(column, comparison, value);
        warehouse.read_where("lake.t", None, &|_| filter.clone()).unwrap().files().len()
    };
    assert_eq!(count("long", FilterComparison::Greater, FilterValue::Whole(2)), 0);
    assert_eq!(count("int", FilterComparison::Greater, FilterValue::Whole(2)), 1);
    assert_eq!(count("double", FilterComparison::Less, FilterValue::Number(0.0)), 1);
    // All texts begin with "gr", and the greatest is not more than what comes after it.
    assert_eq!(count("text", FilterComparison::GreaterOrEqual, FilterValue::Text("grz".into())), 1);
    assert_eq!(count("text", FilterComparison::GreaterOrEqual, FilterValue::Text("gt".into())), 0);
    let nulls = warehouse.read_where("lake.t", None, &|_| RowFilter::IsNull("double".into())).unwrap();
    assert_eq!(nulls.files().len(), 0, "counts are told");
    assert_eq!(read(&*warehouse.read("lake.t").unwrap(), &["long"]).num_rows(), 2);
}

#[test]
fn layouts_that_a_table_cannot_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(folder.path()).unwrap();
    let refused = |options: &TableOptions| {
        create(&warehouse, "lake.t", &all_types(&[]).schema(), options).expect_err("it is refused").chain()
    };
    let error = refused(&cut_by(&[(PartitionTransform::Day, "gone")]));
    assert!(error.contains("PARTITION BY names column \"gone\", and its columns are long, int"), "{error}");
    let error = refused(&cut_by(&[(PartitionTransform::Hour, "text")]));
    assert!(error.contains("PARTITION BY hour(text) cannot be"), "{error}");
    let error = refused(&sorted_by(TableOptions::default(), "gone", false));
    assert!(error.contains("SORT BY names column \"gone\""), "{error}");
    for (key, value, expected) in [
        ("write.target-file-size-bytes", "small", "expected a whole number above 0"),
        ("write.metadata.metrics.column.gone", "none", "has no column \"gone\""),
        ("write.parquet.compression-codec", "lzo", "expected zstd, snappy, gzip"),
        ("write.parquet.compression-level", "50", "expected a whole number from 1 to 22"),
        ("write.format.default", "orc", "files are written as Parquet"),
        ("write.metadata.compression-codec", "zstd", "expected none or gzip"),
    ] {
        let properties = vec![(key.to_owned(), value.to_owned())];
        let error = refused(&TableOptions { properties, ..TableOptions::default() });
        assert!(error.contains(key) && error.contains(expected), "{error}");
    }
}

#[test]
fn a_table_that_is_there_keeps_its_partitions_and_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = sorted_by(cut_by(&[(PartitionTransform::Day, "at")]), "long", false);
    let warehouse = table(folder.path(), &options, &[all_types(&[Some(1)])]);
    let claim = warehouse.claim("lake.t", "test").unwrap();
    claim.check_layout(&options.layout).unwrap();
    claim.check_layout(&TableLayout::default()).unwrap();
    let refused = |options: TableOptions| claim.check_layout(&options.layout).unwrap_err().to_string();
    let error = refused(cut_by(&[(PartitionTransform::Hour, "at")]));
    let expected = "table \"lake.t\" has PARTITION BY day(at), and the statement says PARTITION BY hour(at): ";
    assert!(error.starts_with(expected) && error.contains("--fresh"), "{error}");
    let error = refused(sorted_by(TableOptions::default(), "long", true));
    assert!(
        error.contains("has SORT BY long NULLS LAST, and the statement says SORT BY long DESC NULLS LAST"),
        "{error}"
    );
}

#[test]
fn names_of_folders_hold_nothing_that_leads_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let options = cut_by(&[(PartitionTransform::Identity, "text"), (PartitionTransform::Month, "at")]);
    let text = |text: &str| {
        let rows = all_types(&[Some(3 * DAY / DAY)]);
        let mut columns = rows.columns().to_vec();
        columns[5] = std::sync::Arc::new(arrow::array::StringArray::from(vec![text]));
        RecordBatch::try_new(rows.schema(), columns).unwrap()
    };
    let long = "ä".repeat(400);
    let texts = ["../../../out", "..", "a/b", "", "null", &long];
    let warehouse = table(folder.path(), &options, &texts.map(text));
    let files = warehouse.read("lake.t").unwrap();
    assert_eq!(files.files().len(), texts.len());
    let data = folder.path().canonicalize().unwrap().join("lake/t/data");
    assert!(files.files().iter().all(|file| Path::new(&file.path).canonicalize().unwrap().starts_with(&data)));
    assert_eq!(read(&*files, &["text"]).num_rows(), texts.len());
}
