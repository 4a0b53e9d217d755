//! Files as history: schemas, bounds, values, and errors that name the file.
// Helpers outside the tests unwrap as the tests do.
#![allow(clippy::unwrap_used)]

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Date32Type, Field, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use connector_local::{Files, read_rows, write_parquet};
use dataflow::{Bounds, ErrorKind, RecordBatches, Result, RowGroup, TimedFiles};
use parquet::arrow::ArrowWriter;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

fn write(folder: &Path, name: &str, content: &str) {
    std::fs::write(folder.join(name), content).unwrap();
}

fn write_rows(folder: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) -> u64 {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let schema = batch.schema();
    write_parquet(&folder.join(name), schema, Box::new(std::iter::once(Ok(batch)))).unwrap()
}

fn all(files: &Files, file: usize, columns: &[&str]) -> RecordBatch {
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    let batches =
        files.open(file, files.files()[file].all_groups(), &columns, 2).unwrap().collect::<Result<Vec<_>>>().unwrap();
    assert!(batches.iter().all(|batch| batch.num_rows() <= 2));
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn error(batches: Result<RecordBatches>) -> dataflow::Error {
    let batches = batches.unwrap().collect::<Vec<_>>();
    batches.into_iter().find_map(Result::err).expect("one batch was to fail")
}

fn failed(files: Result<Files>) -> String {
    files.err().expect("this was to fail").chain()
}

fn int(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn times(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()))
}

#[test]
fn row_groups_of_parquet_files_have_their_own_bounds_and_are_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let group = |n: &[i64], at: &[Option<i64>]| {
        RecordBatch::try_from_iter_with_nullable([("n", int(n), true), ("at", times(at), true)]).unwrap()
    };
    let groups =
        [group(&[1, 2, 3], &[Some(5), None, Some(1)]), group(&[4], &[None]), group(&[5, 6], &[Some(9), Some(-2)])];
    let file = File::create(folder.path().join("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, groups[0].schema(), None).unwrap();
    for rows in &groups {
        writer.write(rows).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    let files = Files::open("a.parquet", folder.path()).unwrap();
    let at = |min, max, nulls| vec![("at".to_owned(), Bounds { min, max, nulls })];
    assert_eq!(files.files()[0].bounds, at(-2, 9, 2));
    // A group without a value has no bounds of its own.
    let expected = [(3, at(1, 5, 1)), (1, vec![]), (2, at(-2, 9, 0))];
    let expected = expected.map(|(rows, bounds)| RowGroup { rows: Some(rows), bounds });
    assert_eq!(files.files()[0].groups, expected);
    let numbers = |range| -> Vec<i64> {
        let batches = files.open(0, range, &["n".to_owned()], 2).unwrap().map(Result::unwrap);
        batches.flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    };
    assert_eq!(numbers(0..1), [1, 2, 3]);
    assert_eq!(numbers(1..2), [4]);
    assert_eq!(numbers(1..3), [4, 5, 6]);
    assert_eq!(numbers(0..3), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_text_file_is_one_row_group() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", "n\n1\n2\n");
    let files = Files::open("a.csv", folder.path()).unwrap();
    assert_eq!(files.files()[0].groups, [RowGroup { rows: Some(2), bounds: Vec::new() }]);
    let error = files.open(0, 0..2, &["n".to_owned()], 10).err().unwrap().to_string();
    assert!(error.contains("a.csv\" is a text file of one row group"), "{error}");
}

#[test]
fn parquet_files_with_timestamps_of_any_unit_and_zone() {
    let folder = tempfile::tempdir().unwrap();
    let milliseconds = TimestampMillisecondArray::from(vec![Some(5), None, Some(-7)]).with_timezone("+02:00");
    write_rows(folder.path(), "a.parquet", vec![("at", Arc::new(milliseconds)), ("n", int(&[1, 2, 3]))]);
    let nanoseconds = TimestampNanosecondArray::from(vec![1_999, 9_000]);
    write_rows(folder.path(), "b.parquet", vec![("n", int(&[4, 5])), ("at", Arc::new(nanoseconds))]);
    write(folder.path(), "ignored.txt", "");
    let files = Files::open("*.parquet", folder.path()).unwrap();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(
        *files.schema(),
        Schema::new(vec![Field::new("at", micros, true), Field::new("n", DataType::Int64, true)])
    );
    assert_eq!(files.files().iter().map(|file| file.rows).collect::<Vec<_>>(), [3, 2]);
    assert!(files.files()[0].path.ends_with("a.parquet") && files.files()[0].bytes > 0);
    assert_eq!(files.files()[0].bounds, [("at".to_owned(), Bounds { min: -7000, max: 5000, nulls: 1 })]);
    assert_eq!(files.files()[1].bounds, [("at".to_owned(), Bounds { min: 1, max: 9, nulls: 0 })]);
    let rows = all(&files, 0, &["n", "at"]);
    assert_eq!(rows.columns(), [int(&[1, 2, 3]), times(&[Some(5000), None, Some(-7000)])]);
    assert_eq!(all(&files, 1, &["at"]).columns(), [times(&[Some(1), Some(9)])]);
    assert_eq!(files.name(), "*.parquet");
    assert!(files.open(0, 0..1, &["nothing".to_owned()], 10).is_err());
}

#[test]
fn declared_types_over_parquet() {
    let folder = tempfile::tempdir().unwrap();
    write_rows(folder.path(), "a.parquet", vec![("N", int(&[1, 2])), ("x", int(&[3, 4]))]);
    let declared = [("n".to_owned(), DataType::Int32)];
    let files = Files::open("a.parquet", folder.path()).unwrap().with_types(&declared).unwrap();
    let rows = all(&files, 0, &["x", "N"]);
    assert_eq!(rows.column(0), &int(&[3, 4]));
    assert_eq!(rows.column(1).as_primitive::<Int32Type>().values(), &[1, 2]);
    write_rows(folder.path(), "b.parquet", vec![("n", int(&[1, i64::MAX]))]);
    let files = Files::open("b.parquet", folder.path()).unwrap().with_types(&declared).unwrap();
    let error = error(files.open(0, 0..1, &["n".to_owned()], 10));
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("b.parquet\": a value of column \"n\" (Int64) is no Int32"), "{error}");
    write_rows(folder.path(), "c.parquet", vec![("n", times(&[Some(1)]))]);
    let refused = Files::open("c.parquet", folder.path()).unwrap().with_types(&[("n".to_owned(), DataType::Boolean)]);
    assert!(failed(refused).ends_with("which cannot become the declared Boolean"));
}

#[test]
fn parquet_files_that_disagree_or_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    write_rows(folder.path(), "a.parquet", vec![("n", int(&[1]))]);
    write_rows(folder.path(), "b.parquet", vec![("n", Arc::new(StringArray::from(vec!["x"])))]);
    let message = failed(Files::open("*.parquet", folder.path()));
    assert!(message.contains("a.parquet\" and \""), "{message}");
    assert!(
        message.ends_with("b.parquet\" differ: column \"n\" is Int64 in the first, Utf8 in the second"),
        "{message}"
    );
    write_rows(folder.path(), "b.parquet", vec![("n", int(&[1])), ("m", int(&[1]))]);
    assert!(failed(Files::open("*.parquet", folder.path())).ends_with("differ: the first has no column \"m\""));
    write(folder.path(), "b.parquet", "PAR1 nonsense");
    let message = failed(Files::open("*.parquet", folder.path()));
    assert!(message.contains("b.parquet\" is no Parquet file, or its footer is damaged"), "{message}");
    let path = folder.path().join("a.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..30].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let files = Files::open("a.parquet", folder.path()).unwrap();
    let error = error(files.open(0, 0..1, &["n".to_owned()], 10));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().ends_with("a.parquet\": row group 0 cannot be read"), "{error}");
}

#[test]
fn csv_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    write(
        folder.path(),
        "data/a.csv",
        "at,n,x,ok,name,empty\n2013-01-01T00:00:00Z,1,1,true,\"a,\"\"b\",\n1970-01-01 00:00:01,-2,0.5,FALSE,2,\n,,,,,\n",
    );
    write(folder.path(), "data/b.csv", "at,n,x,ok,name,empty\n1970-01-01,3,1e3,,x,\n");
    let files = Files::open("data/*.csv", folder.path()).unwrap();
    let types: Vec<_> = files.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(types, [micros, DataType::Int64, DataType::Float64, DataType::Boolean, DataType::Utf8, DataType::Utf8]);
    let expected: Vec<ArrayRef> = vec![
        times(&[Some(1_356_998_400_000_000), Some(1_000_000), None]),
        Arc::new(Int64Array::from(vec![Some(1), Some(-2), None])),
        Arc::new(Float64Array::from(vec![Some(1.0), Some(0.5), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(StringArray::from(vec![Some("a,\"b"), Some("2"), None])),
    ];
    assert_eq!(all(&files, 0, &["at", "n", "x", "ok", "name"]).columns(), expected);
    assert_eq!(files.files()[0].rows, 3);
    let bounds = Bounds { min: 1_000_000, max: 1_356_998_400_000_000, nulls: 1 };
    assert_eq!(files.files()[0].bounds, [("at".to_owned(), bounds)]);
    assert_eq!(all(&files, 1, &["x"]).column(0).as_ref(), &Float64Array::from(vec![1000.0]));
    write(folder.path(), "data/c.csv", "at,m\n");
    let message = failed(Files::open("data/*.csv", folder.path()));
    assert!(message.contains("c.csv\" has the header at,m, expected at,n,x,ok,name,empty as in"), "{message}");
    write(folder.path(), "data/c.csv", "at,m\n1\n");
    let message = failed(Files::open("data/c.csv", folder.path()));
    assert!(message.contains("c.csv\" line 2 has 1 values, expected 2 as in the header"), "{message}");
}

#[test]
fn json_lines() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "a.jsonl",
        concat!(
            "{\"at\":\"2013-01-01T00:00:00Z\",\"user\":{\"id\":1,\"name\":\"\\u00e9\\\"\"},\"tags\":[1,\"}\"],\"big\":9007199254740993}\n",
            "\n",
            "{\"user\":{\"name\":\"x\"},\"x\":0.30000000000000004,\"ok\":false,\"at\":null}",
        ),
    );
    let (schema, batches) = read_rows(&folder.path().join("a.jsonl")).unwrap();
    let rows = batches.collect::<Result<Vec<_>>>().unwrap().remove(0);
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["at", "user.id", "user.name", "tags", "big", "x", "ok"]);
    let expected: Vec<ArrayRef> = vec![
        times(&[Some(1_356_998_400_000_000), None]),
        Arc::new(Int64Array::from(vec![Some(1), None])),
        Arc::new(StringArray::from(vec!["é\"", "x"])),
        Arc::new(StringArray::from(vec![Some("[1,\"}\"]"), None])),
        Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])),
        Arc::new(Float64Array::from(vec![None, Some(0.30000000000000004)])),
        Arc::new(BooleanArray::from(vec![None, Some(false)])),
    ];
    assert_eq!(rows.columns(), expected);
    for (content, expected) in [
        ("{}\n[1]\n", "line 2 is no JSON object, expected one object per line"),
        ("{\"a\":}\n", "line 1 is not JSON: "),
    ] {
        write(folder.path(), "bad.jsonl", content);
        let message = failed(Files::open("bad.jsonl", folder.path()));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn declared_types_over_text() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", "at,n,day,zip\n1000000,7,2013-01-02,00123\n2013-01-01,8,2013-01-03,9\n");
    let declared = [
        ("n".to_owned(), DataType::Int32),
        ("at".to_owned(), DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("day".to_owned(), DataType::Date32),
        ("ZIP".to_owned(), DataType::Utf8),
    ];
    let files = Files::open("a.csv", folder.path()).unwrap();
    assert_eq!(*files.schema().field_with_name("zip").unwrap().data_type(), DataType::Int64);
    let files = files.with_types(&declared).unwrap();
    let rows = all(&files, 0, &["n", "at", "day", "zip"]);
    assert_eq!(rows.column(0).as_primitive::<Int32Type>().values(), &[7, 8]);
    let at = rows.column(1).as_primitive::<TimestampMicrosecondType>().values();
    assert_eq!(at, &[1_000_000, 1_356_998_400_000_000]);
    assert_eq!(rows.column(2).as_primitive::<Date32Type>().values(), &[15_707, 15_708]);
    assert_eq!(rows.column(3).as_ref(), &StringArray::from(vec!["00123", "9"]));
    write(folder.path(), "b.csv", "n\n1\nx\n");
    let files = Files::open("b.csv", folder.path()).unwrap().with_types(&declared).unwrap();
    let error = error(files.open(0, 0..1, &["n".to_owned()], 1));
    assert!(error.to_string().ends_with("b.csv\" line 3: column \"n\" is \"x\", expected an integer"), "{error}");
}

#[test]
fn patterns_that_find_nothing_and_files_of_no_known_format() {
    let folder = tempfile::tempdir().unwrap();
    let message = failed(Files::open("data/*.parquet", folder.path()));
    assert!(message.starts_with("no file matches \"data/*.parquet\" in \""), "{message}");
    write(folder.path(), "a.xml", "");
    assert!(failed(Files::open("a.xml", folder.path())).contains("has no known format"));
    write(folder.path(), "a.csv", "n\n");
    write(folder.path(), "a.json", "{}");
    assert!(failed(Files::open("a.*s*", folder.path())).contains("different formats"));
    let missing = read_rows(&folder.path().join("none.csv")).err().unwrap();
    assert!(missing.to_string().contains("none.csv\": it does not exist"), "{missing}");
}

#[test]
fn a_parquet_file_that_could_not_be_finished_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let good = RecordBatch::try_new(schema.clone(), vec![int(&[1])]).unwrap();
    let batches = vec![Ok(good.clone()), Err(dataflow::Error::data("a bad row"))];
    let error = write_parquet(&path, schema.clone(), Box::new(batches.into_iter())).unwrap_err();
    assert_eq!(error.to_string(), "a bad row");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(write_parquet(&path, schema, Box::new(vec![Ok(good.clone()), Ok(good)].into_iter())).unwrap(), 2);
    assert_eq!(Files::open("out.parquet", folder.path()).unwrap().files()[0].rows, 2);
}

#[test]
fn rows_that_cannot_be_read_come_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", "n,m\n1,2\nx,3\n4\n99999999999,5\n6,7\n");
    write(folder.path(), "b.jsonl", "{\"n\":1,\"m\":2}\n{\"n\":\n{\"n\":3,\"n\":4,\"m\":5}\n{\"n\":6,\"m\":7}\n");
    let declared = [("n".to_owned(), DataType::Int32), ("m".to_owned(), DataType::Int64)];
    let read = |name: &str| {
        let files = Files::open_with_errors(name, folder.path()).unwrap().with_types(&declared).unwrap();
        let names = ["n", "m", "_error", "_raw"].map(str::to_owned);
        let batches: Vec<_> = files.open(0, 0..1, &names, 2).unwrap().map(|batch| batch.unwrap()).collect();
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(rows as u64, files.files()[0].rows);
        let text = |column: usize| {
            let of = |batch: &RecordBatch| {
                let column = arrow::compute::cast(batch.column(column), &DataType::Utf8).unwrap();
                column.as_string::<i32>().iter().map(|text| text.unwrap_or("-").to_owned()).collect::<Vec<_>>()
            };
            batches.iter().flat_map(of).collect::<Vec<_>>()
        };
        [text(0), text(1), text(2), text(3)]
    };
    let [n, m, errors, raw] = read("a.csv");
    assert_eq!((n.join(" "), m.join(" ")), ("1 - - - 6".to_owned(), "2 3 - 5 7".to_owned()));
    assert_eq!(errors[1], "line 3: column \"n\" is \"x\", expected an integer");
    assert!(errors[2].contains("line 4 has 1 values, expected 2"), "{errors:?}");
    assert_eq!((errors[3].as_str(), errors[4].as_str()), ("a value of column \"n\" is no Int32", "-"));
    assert_eq!((raw[1].as_str(), raw[4].as_str()), ("x,3", "-"));
    let [n, _, errors, raw] = read("b.jsonl");
    assert_eq!(n.join(" "), "1 - 3 6");
    assert!(errors[1].contains("line 2 is not JSON") && errors[2].contains("\"n\" comes twice"), "{errors:?}");
    assert_eq!(raw[1], "{\"n\":");
}
