//! Files as history: schemas, bounds, values, and errors that name the file.
// Helpers outside the tests unwrap as the tests do.
#![allow(clippy::unwrap_used)]

mod columns;
mod parquet_files;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, NullArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit};
use connector_local::{FileColumn, Files, write_parquet};
use dataflow::{Bounds, ErrorKind, RecordBatches, Result, RowGroup, TimedFiles};
use parquet::arrow::ArrowWriter;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use values::Encoding;

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

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn declared(columns: &[(&str, DataType)]) -> Vec<FileColumn> {
    let path = |name: &str| name.split('.').map(str::to_owned).collect();
    columns.iter().map(|(name, data_type)| (path(name), data_type.clone())).collect()
}

fn open(pattern: &str, folder: &Path, columns: &[(&str, DataType)]) -> Result<Files> {
    Files::open(pattern, folder, &declared(columns), Encoding::Unicode)
}

fn inferred(pattern: &str, folder: &Path) -> Result<Vec<(String, DataType)>> {
    let schema: SchemaRef = Files::inferred_schema(pattern, folder, Encoding::Unicode)?;
    Ok(schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect())
}

fn names(names: &[(&str, DataType)]) -> Vec<(String, DataType)> {
    names.iter().map(|(name, data_type)| ((*name).to_owned(), data_type.clone())).collect()
}

/// A column as text, with `-` for NULL.
fn texts(rows: &RecordBatch, column: &str) -> Vec<String> {
    let values = arrow::compute::cast(rows.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    values.as_string::<i32>().iter().map(|text| text.unwrap_or("-").to_owned()).collect()
}

fn failed<T>(files: Result<T>) -> String {
    files.err().expect("this was to fail").chain()
}

fn int(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn times(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()))
}

#[test]
fn a_text_file_is_one_row_group() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", "n\n1\n2\n");
    let files = open("a.csv", folder.path(), &[("n", DataType::Int64)]).unwrap();
    assert_eq!(files.files()[0].groups, [RowGroup { rows: Some(2), bounds: Vec::new() }]);
    let error = files.open(0, 0..2, &["n".to_owned()], 10).err().unwrap().to_string();
    assert!(error.contains("a.csv\" is a text file of one row group"), "{error}");
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
    write(folder.path(), "data/b.csv", "n;zip;at\n3;00123;1970-01-01\n");
    let columns = [
        ("at", MICROS),
        ("n", DataType::Int64),
        ("x", DataType::Float64),
        ("ok", DataType::Boolean),
        ("name", DataType::Utf8),
        ("empty", DataType::Utf8),
        ("zip", DataType::Utf8),
    ];
    assert_eq!(inferred("data/*.csv", folder.path()).unwrap(), names(&columns));
    let files = open("data/*.csv", folder.path(), &columns[..5]).unwrap();
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
    // What the second file lacks is NULL, and what nothing declares is as it stands there.
    let second = all(&files, 1, &["n", "x", "zip", "at"]);
    assert_eq!(["n", "x", "zip"].map(|name| texts(&second, name).remove(0)), ["3", "-", "00123"]);
}

#[test]
fn rows_that_cannot_be_read_come_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", "n,m\n1,2\n\nx,3\n4\n99999999999,5\n\"6,7\n8,9\n");
    write(
        folder.path(),
        "b.jsonl",
        "{\"n\":1,\"m\":2}\n\n{\"n\":\n{\"N\":3,\"m\":5}\n{\"N\":3,\"n\":4}\n{\"NO\":1,\"No\":2}\n[1]\n{\"n\":1704067200,\"at\":1704067200}\n",
    );
    let columns = [("n", DataType::Int32), ("m", DataType::Int64), ("no", DataType::Int64), ("at", MICROS)];
    let read = |name: &str, count: usize| {
        let files = open(name, folder.path(), &columns[..count]).unwrap();
        let mut asked = vec!["n", "m", "_error", "_raw"];
        asked.extend(columns[2..count.max(2)].iter().map(|(name, _)| *name));
        let rows = all(&files, 0, &asked);
        assert_eq!(rows.num_rows() as u64, files.files()[0].rows);
        ["n", "m", "_error", "_raw"].map(|name| texts(&rows, name))
    };
    let [n, m, errors, raw] = read("a.csv", 2);
    assert_eq!((n.join(" "), m.join(" ")), ("1 - - - - 8".to_owned(), "2 3 - 5 - 9".to_owned()));
    let expected = [
        "-",
        "line 4: column \"n\" is \"x\", expected INTEGER",
        "line 5: it has 1 value, expected 2 as in the header",
        "line 6: column \"n\" is \"99999999999\", expected INTEGER",
        "line 7: the quote that opens value 1 is not closed",
        "-",
    ];
    assert_eq!(errors, expected);
    assert_eq!(raw, ["-", "x,3", "4", "99999999999,5", "\"6,7", "-"]);
    let [n, m, errors, raw] = read("b.jsonl", 4);
    assert_eq!((n.join(" "), m.join(" ")), ("1 - 3 4 - - 1704067200".to_owned(), "2 - 5 - - - -".to_owned()));
    assert!(
        errors[1].starts_with("line 3: the payload is not JSON: it ends where a value should stand (at character 5)"),
        "{errors:?}"
    );
    assert_eq!(errors[4], "line 6: fields \"NO\" and \"No\" are both column \"no\", expected one of them");
    assert_eq!(errors[5], "line 7: the payload is an array, expected an object");
    assert!(errors[6].contains("is 1704067200, expected TIMESTAMP; it looks like seconds"), "{errors:?}");
    assert_eq!(raw[1], "{\"n\":");
    assert_eq!([&errors[0], &errors[2], &errors[3]], ["-", "-", "-"]);
}

#[test]
fn json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let lines = concat!(
        "{\"at\":\"2013-01-01T00:00:00Z\",\"user\":{\"id\":1,\"name\":\"\\u00e9\\\"\"},\"tags\":[1,\"}\"],\"big\":12345678901234567890}\n",
        "\n",
        "{\"user\":{\"name\":\"x\"},\"x\":0.30000000000000004,\"ok\":false,\"at\":null}\n{\"user\":null}",
    );
    write(folder.path(), "a.jsonl", lines);
    let columns = [
        ("at", MICROS),
        ("user.id", DataType::Int64),
        ("user.name", DataType::Utf8),
        ("tags", DataType::Utf8),
        ("big", DataType::Utf8),
        ("x", DataType::Float64),
        ("ok", DataType::Boolean),
    ];
    assert_eq!(inferred("a.jsonl", folder.path()).unwrap(), names(&columns));
    let mut more = columns.to_vec();
    more.extend([("user", DataType::Utf8), ("nothing", DataType::Int64)]);
    let files = open("a.jsonl", folder.path(), &more).unwrap();
    let rows = all(&files, 0, &["at", "user.id", "user.name", "tags", "big", "user", "nothing", "_error"]);
    assert_eq!(texts(&rows, "user.id"), ["1", "-", "-"]);
    assert_eq!(texts(&rows, "user.name"), ["é\"", "x", "-"]);
    assert_eq!(texts(&rows, "tags"), ["[1,\"}\"]", "-", "-"]);
    assert_eq!(texts(&rows, "big"), ["12345678901234567890", "-", "-"]);
    assert_eq!(texts(&rows, "user"), ["{\"id\":1,\"name\":\"\\u00e9\\\"\"}", "{\"name\":\"x\"}", "-"]);
    assert_eq!(
        (rows.column_by_name("nothing").unwrap().null_count(), rows.column_by_name("_error").unwrap().null_count()),
        (3, 3)
    );
}

#[test]
fn text_files_that_are_packed_or_encoded() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name\tn\né\t1\n\u{1f600}\t2\n";
    write(folder.path(), "plain.tsv", text);
    write(folder.path(), "mark.tsv", &format!("\u{feff}{text}"));
    let packed = |name: &str| File::create(folder.path().join(name)).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(packed("a.tsv.gz"), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap();
    let mut zstd = zstd::stream::write::Encoder::new(packed("a.tsv.zst"), 1).unwrap();
    zstd.write_all(text.as_bytes()).unwrap();
    zstd.finish().unwrap();
    let wide = |mark: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("{mark}{text}").encode_utf16().flat_map(bytes).collect()
    };
    std::fs::write(folder.path().join("little.tsv"), wide("\u{feff}", u16::to_le_bytes)).unwrap();
    std::fs::write(folder.path().join("big.tsv"), wide("\u{feff}", u16::to_be_bytes)).unwrap();
    std::fs::write(folder.path().join("unmarked.tsv"), wide("", u16::to_le_bytes)).unwrap();
    let columns = declared(&[("name", DataType::Utf8), ("n", DataType::Int64)]);
    let read = |name: &str, encoding| {
        let rows = all(&Files::open(name, folder.path(), &columns, encoding).unwrap(), 0, &["name", "n", "_error"]);
        ["name", "n", "_error"].map(|name| texts(&rows, name).join(" "))
    };
    for name in ["plain.tsv", "mark.tsv", "a.tsv.gz", "a.tsv.zst", "little.tsv", "big.tsv"] {
        assert_eq!(read(name, Encoding::Unicode), ["é \u{1f600}", "1 2", "- -"], "{name}");
    }
    std::fs::write(folder.path().join("unmarked_big.tsv"), wide("", u16::to_be_bytes)).unwrap();
    for name in ["unmarked.tsv", "unmarked_big.tsv"] {
        assert_eq!(read(name, Encoding::Utf16), ["é \u{1f600}", "1 2", "- -"], "{name}");
        let message = failed(Files::open(name, folder.path(), &columns, Encoding::Unicode));
        assert!(message.contains(name) && message.contains("ENCODING 'utf-16' after the pattern"), "{message}");
    }
    for mark in ["", "\u{feff}"] {
        for (order, bytes) in [("le", u32::to_le_bytes as fn(u32) -> [u8; 4]), ("be", u32::to_be_bytes)] {
            let name = format!("{}{order}.jsonl", mark.len());
            let text: Vec<u8> = format!("{mark}{{}}\n").chars().flat_map(|letter| bytes(letter.into())).collect();
            std::fs::write(folder.path().join(&name), text).unwrap();
            for encoding in [Encoding::Unicode, Encoding::Utf16, Encoding::Latin1] {
                let message = failed(Files::open(&name, folder.path(), &columns, encoding));
                assert!(message.contains(&name) && message.contains("is in UTF-32, expected UTF-8"), "{message}");
            }
        }
    }
    std::fs::write(folder.path().join("latin.tsv"), b"name\tn\n\xe9\t1\n").unwrap();
    assert_eq!(read("latin.tsv", Encoding::Latin1), ["é", "1", "-"]);
    assert!(read("latin.tsv", Encoding::Unicode)[2].contains("it is not UTF-8"));
    std::fs::write(folder.path().join("latin.jsonl"), b"{\"name\":\"\xe9\",\"n\":1}\n").unwrap();
    assert_eq!(read("latin.jsonl", Encoding::Latin1), ["é", "1", "-"]);
    let why = &read("latin.jsonl", Encoding::Unicode)[2];
    assert!(why.contains("it is not UTF-8; ENCODING 'latin1' after the pattern"), "{why}");
    let bytes = std::fs::read(folder.path().join("a.tsv.gz")).unwrap();
    std::fs::write(folder.path().join("cut.tsv.gz"), &bytes[..bytes.len() - 12]).unwrap();
    let message = failed(Files::open("cut.tsv.gz", folder.path(), &columns, Encoding::Unicode));
    assert!(message.contains("cut.tsv.gz\" is damaged"), "{message}");
}

#[test]
fn folders_name_columns() {
    let folder = tempfile::tempdir().unwrap();
    for (day, text) in [("2024-01-01", "1"), ("2024-01-02", "2"), ("yesterday", "3")] {
        std::fs::create_dir_all(folder.path().join(format!("dt={day}"))).unwrap();
        write(folder.path(), &format!("dt={day}/a.csv"), &format!("n\n{text}\n"));
        write(folder.path(), &format!("dt={day}/a.jsonl"), &format!("{{\"n\":{text}}}\n"));
        write_rows(folder.path(), &format!("dt={day}/a.parquet"), vec![("n", int(&[text.parse().unwrap()]))]);
    }
    for format in ["csv", "jsonl", "parquet"] {
        let columns = [("n", DataType::Int64), ("dt", DataType::Date32)];
        let files = open(&format!("dt=*/*.{format}"), folder.path(), &columns).unwrap();
        let given = [0, 1, 2].map(|file| {
            let rows = all(&files, file, &["n", "dt", "_error"]);
            ["n", "dt", "_error"].map(|name| texts(&rows, name).remove(0))
        });
        assert_eq!(given[0].join(" "), "1 2024-01-01 -", "{format}");
        assert_eq!(given[1].join(" "), "2 2024-01-02 -", "{format}");
        assert!(given[2][1] == "-" && given[2][2].ends_with("expected DATE"), "{format} {given:?}");
    }
    let days = inferred("dt=2024*/*.csv", folder.path()).unwrap();
    assert_eq!(days, names(&[("n", DataType::Int64), ("dt", DataType::Date32)]));
    // One folder is enough, and a folder in which the project lies gives nothing.
    let one = inferred("dt=2024-01-01/a.csv", folder.path()).unwrap();
    assert_eq!(one, names(&[("n", DataType::Int64), ("dt", DataType::Date32)]));
    let inside = inferred("*.csv", &folder.path().join("dt=2024-01-01")).unwrap();
    assert_eq!(inside, names(&[("n", DataType::Int64)]));
}

#[test]
fn patterns_that_find_nothing_and_files_of_no_known_format() {
    let folder = tempfile::tempdir().unwrap();
    let message = failed(open("data/*.parquet", folder.path(), &[]));
    assert!(message.starts_with("no file matches \"data/*.parquet\" in \""), "{message}");
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let message = failed(open("data/", folder.path(), &[]));
    assert!(message.ends_with("which is a folder; \"data/*\" names its files"), "{message}");
    write(folder.path(), "a.xml", "");
    assert!(failed(open("a.xml", folder.path(), &[])).contains("has no known format"));
    write(folder.path(), "a.csv", "n\n");
    write(folder.path(), "a.json", "{}");
    assert!(failed(open("a.*s*", folder.path(), &[])).contains("different formats"));
}

#[test]
fn files_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", "");
    write(folder.path(), "b.csv", "n\n");
    write(folder.path(), "a.jsonl", "\n");
    for (name, rows) in [("a.csv", 0), ("b.csv", 0), ("a.jsonl", 0)] {
        let files = open(name, folder.path(), &[("n", DataType::Int64)]).unwrap();
        assert_eq!(files.files()[0].rows, rows);
        assert!(files.schema().index_of("n").is_ok());
    }
}

#[test]
fn a_folder_says_what_its_column_is_and_no_row_says_otherwise_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let day = "day=2024-01-31/site=7/run=01";
    for format in ["csv", "jsonl", "parquet"] {
        std::fs::create_dir_all(folder.path().join(format).join(day)).unwrap();
    }
    write(folder.path(), &format!("csv/{day}/a.csv"), "n,day\n1,2024-01-31\n2,\n3,2023-05-05\n");
    let lines = "{\"n\":1,\"day\":\"2024-01-31\"}\n{\"n\":2}\n{\"n\":3,\"day\":\"2023-05-05\"}\n";
    write(folder.path(), &format!("jsonl/{day}/a.jsonl"), lines);
    let own: ArrayRef = Arc::new(StringArray::from(vec![Some("2024-01-31"), None, Some("2023-05-05")]));
    write_rows(folder.path(), &format!("parquet/{day}/a.parquet"), vec![("n", int(&[1, 2, 3])), ("day", own)]);
    let columns = [("n", DataType::Int64), ("day", DataType::Date32), ("site", DataType::Int64)];
    for format in ["csv", "jsonl", "parquet"] {
        let pattern = format!("{format}/*/*/*/a.{format}");
        let files = open(&pattern, folder.path(), &columns).unwrap();
        let rows = all(&files, 0, &["n", "day", "site", "_error"]);
        assert_eq!(texts(&rows, "day"), ["2024-01-31"; 3], "{format}");
        assert_eq!(
            (texts(&rows, "n"), texts(&rows, "site")),
            (vec!["1".into(), "2".into(), "3".into()], vec!["7".to_owned(); 3])
        );
        let errors = texts(&rows, "_error");
        let why = "column \"day\" is 2023-05-05, expected 2024-01-31 as in the name of its folder";
        assert!(errors[..2] == ["-", "-"] && errors[2].ends_with(why), "{format}: {errors:?}");
        let inferred = inferred(&pattern, folder.path()).unwrap();
        for (name, data_type) in [("site", DataType::Int64), ("run", DataType::Utf8)] {
            assert!(inferred.contains(&(name.to_owned(), data_type)), "{format}: {inferred:?}");
        }
    }
    std::fs::create_dir_all(folder.path().join("own/at=2024-01-31T10%3A00%3A00/day=2024-01-31")).unwrap();
    let path = "own/at=2024-01-31T10%3A00%3A00/day=2024-01-31/a";
    write_rows(folder.path(), &format!("{path}.parquet"), vec![("n", int(&[1]))]);
    write(folder.path(), &format!("{path}.csv"), "n\n1\n");
    for format in ["csv", "parquet"] {
        let mut found = inferred(&format!("own/*/*/a.{format}"), folder.path()).unwrap();
        found.sort();
        assert_eq!(found, names(&[("at", MICROS), ("day", DataType::Date32), ("n", DataType::Int64)]), "{format}");
    }
}

#[test]
fn a_line_that_is_too_long_is_one_bad_row() {
    const MOST: usize = 64 << 20;
    let folder = tempfile::tempdir().unwrap();
    let line = |n: usize, bytes: usize| {
        let object = format!("{{\"n\":{n}}}");
        object.clone() + &" ".repeat(bytes - object.len())
    };
    let text = [line(1, 20), line(2, MOST), line(3, MOST + 1), line(4, MOST + 2), line(5, MOST * 2), line(6, 20)];
    write(folder.path(), "a.jsonl", &(text.join("\n") + "\n"));
    let files = open("a.jsonl", folder.path(), &[("n", DataType::Int64)]).unwrap();
    assert_eq!(files.files()[0].rows, 6);
    let rows = all(&files, 0, &["n", "_error"]);
    let errors = texts(&rows, "_error");
    for row in [2, 3, 4] {
        let expected = format!("line {}: a row of more than 64 MiB begins", row + 1);
        assert!(errors[row].starts_with(&expected), "{errors:?}");
    }
    assert_eq!([&errors[0], &errors[1], &errors[5]], ["-", "-", "-"]);
}

#[test]
fn a_file_that_was_changed_has_another_state() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", "n\n1\n");
    write(folder.path(), "b.csv", "n\n1\n");
    let state = || open("*.csv", folder.path(), &[("n", DataType::Int64)]).unwrap().state().to_owned();
    let first = state();
    assert_eq!(state(), first);
    let before = std::fs::metadata(folder.path().join("b.csv")).unwrap().modified().unwrap();
    // Of another file of the same name, size and time of modification.
    write(folder.path(), "c", "n\n2\n");
    File::open(folder.path().join("c")).unwrap().set_modified(before).unwrap();
    std::fs::rename(folder.path().join("c"), folder.path().join("b.csv")).unwrap();
    assert_ne!(state(), first);
}

#[test]
fn columns_of_files_that_have_the_names_of_ours_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let texts = |texts: [Option<&str>; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let own = [Some("it timed out once"), None];
    let columns = vec![("x", texts([Some("1"), Some("many")])), ("_error", texts(own)), ("_raw", texts(own))];
    write_rows(folder.path(), "jobs.parquet", columns);
    write(folder.path(), "jobs.jsonl", "{\"x\":1,\"_error\":\"it timed out once\",\"_raw\":\"\"}\n{\"x\":\"many\"}\n");
    for name in ["jobs.parquet", "jobs.jsonl"] {
        for more in [vec![], vec![("_error", DataType::Utf8), ("_raw", DataType::Utf8)]] {
            let declared: Vec<_> = [("x", DataType::Int64)].into_iter().chain(more).collect();
            let files = open(name, folder.path(), &declared).unwrap();
            let found: Vec<_> = files.schema().fields().iter().map(|field| field.name().clone()).collect();
            assert_eq!(found, ["x", "_error", "_raw"], "{name}");
            let rows = all(&files, 0, &["x", "_error"]);
            let reasons = rows.column_by_name("_error").unwrap().as_string::<i32>();
            assert!(reasons.is_null(0), "{name}: the file says that its first row is bad");
            assert!(reasons.is_valid(1) && reasons.value(1).contains("many"), "{name}: {reasons:?}");
        }
    }
}

#[test]
fn codes_of_csv_that_a_number_would_lose_are_text() {
    let folder = tempfile::tempdir().unwrap();
    let (codes, numbers) = (
        ["0049", "01234", "+49301", "007.50", "-007", "00e5", "+1e3"],
        ["0", "-0", "5", "1e3", ".5", "5.", "0.5", "0e5"],
    );
    for text in codes {
        write(folder.path(), "a.csv", &format!("v,x\n{text},1\n1,2\n"));
        assert_eq!(inferred("a.csv", folder.path()).unwrap()[0].1, DataType::Utf8, "{text}");
    }
    for text in numbers {
        write(folder.path(), "a.csv", &format!("v,x\n{text},1\n1,2\n"));
        let found = inferred("a.csv", folder.path()).unwrap()[0].1.clone();
        let is_integer = text.parse::<i64>().is_ok();
        assert_eq!(found, if is_integer { DataType::Int64 } else { DataType::Float64 }, "{text}");
    }
}

#[test]
fn a_field_that_is_an_object_in_some_rows_and_a_value_in_others_is_text() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.jsonl", "{\"o\":{\"p\":1},\"n\":{\"q\":1}}\n{\"o\":5,\"n\":null,\"e\":{}}\n");
    let found = inferred("a.jsonl", folder.path()).unwrap();
    assert_eq!(found, names(&[("o", DataType::Utf8), ("n.q", DataType::Int64), ("e", DataType::Utf8)]));
    let columns: Vec<_> = found.iter().map(|(name, data_type)| (name.as_str(), data_type.clone())).collect();
    let rows = all(&open("a.jsonl", folder.path(), &columns).unwrap(), 0, &["o", "n.q", "_error"]);
    assert_eq!(["o", "n.q", "_error"].map(|name| texts(&rows, name).join(" ")), ["{\"p\":1} 5", "1 -", "- -"]);
}

#[test]
fn names_that_differ_in_case_between_files_are_one_column_and_within_one_two() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", "id,v\n1,5\n");
    write(folder.path(), "b.csv", "ID,V\n2,7\n");
    let two = names(&[("id", DataType::Int64), ("v", DataType::Int64)]);
    assert_eq!(inferred("*.csv", folder.path()).unwrap(), two);
    let files = open("*.csv", folder.path(), &[("id", DataType::Int64), ("v", DataType::Int64)]).unwrap();
    assert_eq!(texts(&all(&files, 1, &["id", "v"]), "v"), ["7"]);
    write(folder.path(), "c.jsonl", "{\"id\":1,\"v\":5}\n{\"ID\":2,\"V\":7}\n");
    assert_eq!(inferred("c.jsonl", folder.path()).unwrap(), two);
    write_rows(folder.path(), "a.parquet", vec![("id", int(&[1])), ("v", int(&[5]))]);
    write_rows(folder.path(), "b.parquet", vec![("ID", int(&[2])), ("V", int(&[7]))]);
    assert_eq!(inferred("*.parquet", folder.path()).unwrap(), two);
    // What a file has beside a declared column is a column of its own.
    write(folder.path(), "d.csv", "id,at,ID\n1,2,3\n");
    assert_eq!(inferred("d.csv", folder.path()).unwrap().len(), 3);
    let rows = all(&open("d.csv", folder.path(), &[("id", DataType::Int64)]).unwrap(), 0, &["id", "ID", "at"]);
    assert_eq!(["id", "ID", "at"].map(|name| texts(&rows, name).remove(0)), ["1", "3", "2"]);
}

#[test]
fn half_a_letter_of_utf_16_is_one_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let line = |name: &[u16], n: &str| [name, &format!(",{n}\n").encode_utf16().collect::<Vec<_>>()].concat();
    let text: Vec<u16> = "\u{feff}name,n\n".encode_utf16().collect();
    let text = [text, line(&[0x61], "1"), line(&[0xd83d], "2"), line(&[0xd83d, 0xde00], "3")].concat();
    let bytes: Vec<u8> = text.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    std::fs::write(folder.path().join("a.csv"), bytes).unwrap();
    let columns = [("name", DataType::Utf8), ("n", DataType::Int64)];
    let rows = all(&open("a.csv", folder.path(), &columns).unwrap(), 0, &["name", "n", "_error"]);
    assert_eq!(texts(&rows, "name"), ["a", "-", "\u{1f600}"]);
    let errors = texts(&rows, "_error");
    assert!(errors[1].contains("line 3: it is not UTF-8") && errors[2] == "-", "{errors:?}");
}

#[test]
fn an_array_over_several_lines_is_refused_and_one_on_a_line_is_a_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["[ {\"n\":1},\n{\"n\":2}\n]\n", "\n[\n{\"n\":1}\n]\n"] {
        write(folder.path(), "a.json", text);
        let message = failed(open("a.json", folder.path(), &[("n", DataType::Int64)]));
        assert!(message.contains("an array of JSON begins, expected an object a line"), "{message}");
    }
    write(folder.path(), "a.json", "[{\"n\":1}]\n{\"n\":2}\n[1,\n");
    let rows = all(&open("a.json", folder.path(), &[("n", DataType::Int64)]).unwrap(), 0, &["n"]);
    assert_eq!(texts(&rows, "n"), ["-", "2", "-"]);
}

#[test]
fn a_column_of_parquet_without_a_value_is_text() {
    let folder = tempfile::tempdir().unwrap();
    write_rows(folder.path(), "a.parquet", vec![("n", int(&[1])), ("nothing", Arc::new(NullArray::new(1)))]);
    let columns = names(&[("n", DataType::Int64), ("nothing", DataType::Utf8)]);
    assert_eq!(inferred("a.parquet", folder.path()).unwrap(), columns);
}
