//! Where there is nothing to do, a command says so in a sentence.

use crate::folder::{Folder, Ran};
use std::fs;

const STREAM: &str = "CREATE STREAM s (n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND)";

fn project(sql: &str) -> Folder {
    let folder = Folder::empty();
    folder.write("pipelines/s.sql", sql);
    folder
}

#[test]
fn a_project_without_statements() {
    for text in ["", "-- Nothing yet.\n"] {
        let folder = project(text);
        let ran = folder.run(&["run"]);
        assert!(ran.code == 1 && ran.err.contains("no file in pipelines/ has a statement"), "{}", ran.err);
        let checked = folder.done(&["check"]);
        assert!(checked.err.contains("0 streams and 0 outputs, all planned; no file in pipelines/"), "{}", checked.err);
    }
}

#[test]
fn a_project_without_outputs() {
    let folder = project(&format!("{STREAM} LIVE s;\n"));
    let checked = folder.done(&["check"]);
    let expected = "1 stream and 0 outputs, all planned; no statement writes anything, expected an INSERT";
    assert!(checked.err.contains(expected), "{}", checked.err);
    let ran = folder.run(&["run", "--until-caught-up"]);
    assert!(ran.code == 1 && ran.err.contains("`riverrun query 'SELECT * FROM NAME'`"), "{}", ran.err);
}

#[test]
fn a_run_that_goes_on_without_anything_new_says_so_and_no_alarm() {
    let folder = project(&format!("{STREAM} LIVE s;\nINSERT INTO lake.s SELECT n FROM s;\n"));
    folder.write("a.jsonl", "{\"n\":1,\"at\":\"2024-01-01\"}\n").done(&["publish", "s", "a.jsonl"]);
    let first = folder.done(&["run", "--until-caught-up"]);
    assert!(!first.err.contains("nothing"), "{}", first.err);
    let again = folder.done(&["run", "--until-caught-up"]);
    assert!(again.err.contains("nothing new came of stream s since the run before"), "{}", again.err);
    assert!(!again.err.contains("nothing was read"), "{}", again.err);
}

#[test]
fn an_empty_file_that_should_show_columns_is_told_as_such() {
    let stream = "CREATE STREAM s (WATERMARK FOR at AS at) HISTORY FILES";
    for name in ["a.csv", "a.jsonl"] {
        let folder = project(&format!("{stream} '{name}';\n"));
        folder.write(name, "");
        let ran = folder.run(&["check"]);
        let hint = "its history holds nothing that shows columns: declare them, among them at TIMESTAMP";
        assert!(ran.code == 1 && ran.err.contains(hint), "{}", ran.err);
    }
    for declared in [format!("{stream} 'a.parquet';\n"), format!("{STREAM} HISTORY FILES 'a.parquet';\n")] {
        let folder = project(&declared);
        folder.write("a.parquet", "");
        let ran = folder.run(&["check"]);
        let told = "\"a.parquet\" is empty, which no Parquet file is: write it again, or take it away";
        assert!(ran.code == 1 && ran.err.contains(told), "{}", ran.err);
        assert!(!ran.err.contains("if its history does not exist"), "{}", ran.err);
    }
}

#[test]
fn a_history_and_a_topic_without_rows() {
    let nothing = |ran: &Ran, of: &str| {
        let expected = format!("nothing was read of {of}: no row for this run in HISTORY or LIVE");
        assert!(ran.err.contains(&expected), "{}", ran.err);
    };
    let folder = project(&format!("{STREAM} HISTORY FILES 'data/*.csv';\nINSERT INTO lake.s SELECT n FROM s;\n"));
    for text in ["n,at\n", "", "\n\n"] {
        folder.write("data/a.csv", text);
        nothing(&folder.done(&["run", "--fresh"]), "stream s");
    }
    folder.write("data/a.csv", "n,at\n1,2024-01-01\n");
    let ran = folder.done(&["run", "--fresh"]);
    assert!(!ran.err.contains("nothing was read"), "{}", ran.err);
    let folder = project(&format!("{STREAM} HISTORY FILES 'data/*.jsonl';\nINSERT INTO lake.s SELECT n FROM s;\n"));
    for text in ["", "\n\n"] {
        folder.write("data/a.jsonl", text);
        nothing(&folder.done(&["run", "--fresh"]), "stream s");
    }
    for text in ["", "\n\n"] {
        let ran = folder.write("data/a.jsonl", text).run(&["query", "SELECT * FROM s"]);
        assert!(ran.code == 0 && ran.err.contains("0 rows"), "{}", ran.err);
    }
    let folder = project(&format!(
        "{STREAM} LIVE s;\n{};\nINSERT INTO lake.s SELECT n FROM s;\nINSERT INTO lake.t SELECT n FROM t;\n",
        format!("{STREAM} LIVE t").replace("STREAM s", "STREAM t")
    ));
    for (stream, file, text) in [("s", "empty.csv", "n,at\n"), ("t", "empty.jsonl", ""), ("t", "blank.csv", "\n")] {
        let published = folder.write(file, text).done(&["publish", stream, file]);
        let expected = format!("\"{file}\" has no row: nothing was published to topic {stream}");
        assert!(published.err.contains(&expected), "{}", published.err);
    }
    nothing(&folder.done(&["run", "--until-caught-up"]), "streams s, t");
}

#[test]
fn a_folder_without_files() {
    let folder = project(&format!("{STREAM} HISTORY FILES 'data/*.csv';\nINSERT INTO lake.s SELECT n FROM s;\n"));
    folder.write("data/readme.txt", "");
    let ran = folder.run(&["run"]);
    assert!(ran.code == 1 && ran.err.contains("no file matches \"data/*.csv\""), "{}", ran.err);
}

#[test]
fn a_query_without_rows_writes_a_file_with_its_columns() {
    let folder = project(&format!("{STREAM} HISTORY FILES 'data/*.csv';\n"));
    folder.write("data/a.csv", "n,at\n");
    let ran = folder.done(&["query", "SELECT n + 1 AS next, at FROM s", "--out", "none.parquet"]);
    assert!(ran.err.contains("wrote 0 rows to none.parquet"), "{}", ran.err);
    let file = fs::File::open(folder.path().join("none.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let names: Vec<_> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!((names.join(" "), reader.metadata().file_metadata().num_rows()), ("next at".to_owned(), 0));
}
