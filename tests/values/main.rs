//! One reading of a value: a table of spellings and answers, asked of every way in.
//!
//! `answers.tsv` says what DuckDB's CAST makes of each spelling, and what readers make of it where that differs on
//! purpose. Each test takes one way in and compares all answers.

mod answers;
mod edges;
mod folder;
mod parquet_file;

use answers::{Answer, TYPES, all, column, of_form};
use folder::{Folder, query};
use std::collections::BTreeMap;

/// What a way in gave for each row that it did not refuse: the values of its columns as text.
type Given = BTreeMap<usize, BTreeMap<String, Option<String>>>;

/// Which answers a way in is to give.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Cast,
    Readers,
}

fn compare(answers: &[Answer], given: &Given, expect: Expect) {
    let mut wrong = Vec::new();
    for (id, answer) in answers.iter().enumerate() {
        let expected = if expect == Expect::Cast { &answer.cast } else { &answer.readers };
        let found = given.get(&id).map(|row| row[&column(&answer.data_type)].clone());
        // TRY_CAST gives NULL where a reader gives no row.
        let found = if expect == Expect::Cast { Some(found.flatten()) } else { found };
        let expected = if expect == Expect::Cast { Some(expected.clone().flatten()) } else { expected.clone() };
        if found != expected {
            wrong.push(format!("{answer} {found:?}, expected {expected:?}"));
        }
    }
    let some = wrong.iter().take(60).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{some}", wrong.len(), answers.len());
}

/// A stream with a column of every type, from some place.
fn stream(types: &[&str], declared: impl Fn(&str) -> String, place: &str) -> String {
    let columns: String = types.iter().map(|of| format!("  {} {},\n", column(of), declared(of))).collect();
    format!(
        "CREATE STREAM given (id BIGINT, at TIMESTAMP,\n{columns}  WATERMARK FOR at AS at\n) {place} ON BAD ROW SKIP;\n"
    )
}

fn typed(place: &str) -> String {
    stream(&TYPES, str::to_owned, place)
}

/// Everything as text, which asks for the casts of SQL and not for those of readers.
fn texts() -> String {
    let columns: Vec<_> = TYPES.iter().map(|of| format!("{0}::TEXT AS {0}", column(of))).collect();
    format!("SELECT id, {} FROM given", columns.join(", "))
}

fn json_text(answer: &Answer) -> String {
    if answer.form == "text" {
        serde_json::Value::from(answer.spelling.as_str()).to_string()
    } else {
        answer.spelling.clone()
    }
}

/// A line for each answer; fields that a row does not have are absent.
fn json_lines(answers: &[Answer]) -> String {
    let line = |(id, answer): (usize, &Answer)| {
        let name = column(&answer.data_type);
        format!("{{\"id\":{id},\"at\":\"2024-01-01T00:00:00Z\",\"{name}\":{}}}\n", json_text(answer))
    };
    answers.iter().enumerate().map(line).collect()
}

fn csv(answers: &[Answer]) -> String {
    let header: String = TYPES.iter().map(|of| format!(",{}", column(of))).collect();
    let line = |(id, answer): (usize, &Answer)| {
        let quoted = format!("\"{}\"", answer.spelling.replace('"', "\"\""));
        let cell = |of: &&str| if **of == answer.data_type { format!(",{quoted}") } else { ",".to_owned() };
        format!("{id},2024-01-01T00:00:00Z{}\n", TYPES.iter().map(cell).collect::<String>())
    };
    format!("id,at{header}\n{}", answers.iter().enumerate().map(line).collect::<String>())
}

/// An empty cell of a CSV file is NULL.
fn csv_answers() -> Vec<Answer> {
    let of_csv = |answer: Answer| match answer.spelling.is_empty() {
        true => Answer { readers: Some(None), ..answer },
        false => answer,
    };
    of_form("text").into_iter().map(of_csv).collect()
}

fn in_json() -> Vec<Answer> {
    all().into_iter().filter(|answer| ["text", "json"].contains(&&*answer.form)).collect()
}

#[test]
fn every_type_has_ninety_spellings_and_more() {
    for data_type in TYPES {
        let count = |form: &str| of_form(form).iter().filter(|answer| answer.data_type == data_type).count();
        assert!(count("text") > 200 && count("json") > 90, "{data_type}");
    }
}

#[test]
fn answers_are_those_of_duckdb() {
    let script = tests::root().join("tests/values/answers.py");
    let made = tests::duckdb(&script, &[]);
    let stored = std::fs::read_to_string(tests::root().join("tests/values/answers.tsv")).expect("it is stored");
    assert!(made == stored, "tests/values/answers.tsv is not what answers.py makes");
}

#[test]
fn casts_of_sql() {
    let folder = Folder::new(&stream(&TYPES, |_| "TEXT".to_owned(), "HISTORY FILES 'rows.jsonl'"));
    let answers = of_form("text");
    folder.write("rows.jsonl", json_lines(&answers));
    let casts: Vec<_> = TYPES.iter().map(|of| format!("TRY_CAST({0} AS {of})::TEXT AS {0}", column(of))).collect();
    compare(&answers, &query(&folder, &format!("SELECT id, {} FROM given", casts.join(", "))), Expect::Cast);
}

#[test]
fn json_lines_of_files() {
    let folder = Folder::new(&typed("HISTORY FILES 'rows.jsonl'"));
    let answers = in_json();
    folder.write("rows.jsonl", json_lines(&answers));
    compare(&answers, &query(&folder, &texts()), Expect::Readers);
}

#[test]
fn csv_files() {
    let folder = Folder::new(&typed("HISTORY FILES 'rows.csv'"));
    let answers = csv_answers();
    folder.write("rows.csv", csv(&answers));
    compare(&answers, &query(&folder, &texts()), Expect::Readers);
}

#[test]
fn published_json_lines() {
    let folder = Folder::new(&typed("LIVE given"));
    let answers = in_json();
    folder.write("rows.jsonl", json_lines(&answers));
    folder.done(&["publish", "given", "rows.jsonl"]);
    compare(&answers, &query(&folder, &texts()), Expect::Readers);
}

#[test]
fn published_csv() {
    let folder = Folder::new(&typed("LIVE given"));
    let answers = csv_answers();
    folder.write("rows.csv", csv(&answers));
    folder.done(&["publish", "given", "rows.csv"]);
    compare(&answers, &query(&folder, &texts()), Expect::Readers);
}

#[test]
fn published_as_they_are_and_read_by_other_types() {
    // Nothing is read as a type when all is declared as TEXT: what the topic then holds is what the file held.
    let folder = Folder::new(&stream(&TYPES, |_| "TEXT".to_owned(), "LIVE given"));
    let answers = in_json();
    folder.write("rows.jsonl", json_lines(&answers));
    folder.done(&["publish", "given", "rows.jsonl"]);
    folder.write("pipelines/all.sql", typed("LIVE given"));
    compare(&answers, &query(&folder, &texts()), Expect::Readers);
}

#[test]
fn archived_and_read_from_the_table() {
    // No table format of ours has a SMALLINT.
    let types = TYPES.map(|of| if of == "SMALLINT" { "INTEGER" } else { of });
    let declared = |of: &str| types[TYPES.iter().position(|one| *one == of).expect("it is one of them")].to_owned();
    let folder = Folder::new(&(stream(&TYPES, declared, "HISTORY raw.given LIVE given") + "ARCHIVE given;\n"));
    let answers: Vec<_> = in_json().into_iter().filter(|answer| answer.data_type != "SMALLINT").collect();
    folder.write("rows.jsonl", json_lines(&answers));
    folder.done(&["publish", "given", "rows.jsonl"]);
    folder.done(&["run", "archive", "--until-caught-up"]);
    compare(&answers, &query(&folder, &texts()), Expect::Readers);
}

#[test]
fn texts_of_parquet_files() {
    let folder = Folder::new(&typed("HISTORY FILES 'rows.parquet'"));
    let answers = of_form("text");
    parquet_file::write(&folder.path().join("rows.parquet"), "text", &answers, &TYPES);
    compare(&answers, &query(&folder, &texts()), Expect::Readers);
}

#[test]
fn texts_of_tables() {
    let copied = "INSERT INTO lake.given SELECT * FROM given;\n";
    let folder = Folder::new(&(stream(&TYPES, |_| "TEXT".to_owned(), "HISTORY FILES 'rows.parquet'") + copied));
    let answers = of_form("text");
    parquet_file::write(&folder.path().join("rows.parquet"), "text", &answers, &TYPES);
    folder.done(&["run"]);
    folder.write("pipelines/all.sql", typed("HISTORY lake.given"));
    compare(&answers, &query(&folder, &texts()), Expect::Readers);
}

/// The types that a physical type is cast to at all, and the answers of those.
fn castable(form: &str) -> (Vec<&'static str>, Vec<Answer>) {
    let answers = of_form(form);
    let is_cast = |of: &&str| answers.iter().any(|answer| answer.data_type == *of && answer.cast.is_some());
    let types: Vec<_> = TYPES.into_iter().filter(is_cast).collect();
    let answers = answers.iter().filter(|answer| types.contains(&&*answer.data_type)).cloned().collect();
    (types, answers)
}

fn texts_of(types: &[&str]) -> String {
    let columns: Vec<_> = types.iter().map(|of| format!("{0}::TEXT AS {0}", column(of))).collect();
    format!("SELECT id, {} FROM given", columns.join(", "))
}

#[test]
fn physical_types_of_parquet_files() {
    let mut wrong = Vec::new();
    for form in parquet_file::FORMS {
        let (types, answers) = castable(form);
        let folder = Folder::new(&stream(&types, str::to_owned, "HISTORY FILES 'rows.parquet'"));
        parquet_file::write(&folder.path().join("rows.parquet"), form, &answers, &types);
        let compared =
            std::panic::catch_unwind(|| compare(&answers, &query(&folder, &texts_of(&types)), Expect::Readers));
        if compared.is_err() {
            wrong.push(form);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn physical_types_that_are_published() {
    let mut wrong = Vec::new();
    for form in parquet_file::FORMS {
        let (types, answers) = castable(form);
        let folder = Folder::new(&stream(&types, str::to_owned, "LIVE given"));
        parquet_file::write(&folder.path().join("rows.parquet"), form, &answers, &types);
        let compared = std::panic::catch_unwind(|| {
            folder.done(&["publish", "given", "rows.parquet"]);
            compare(&answers, &query(&folder, &texts_of(&types)), Expect::Readers);
        });
        if compared.is_err() {
            wrong.push(form);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn types_of_tables() {
    let stored = [
        ("int32", "INTEGER"),
        ("int64", "BIGINT"),
        ("float", "FLOAT"),
        ("double", "DOUBLE"),
        ("bool", "BOOLEAN"),
        ("date", "DATE"),
        ("micros", "TIMESTAMP"),
    ];
    for (form, own) in stored {
        let (types, answers) = castable(form);
        let copied = "INSERT INTO lake.given SELECT * FROM given;\n";
        let folder = Folder::new(&(stream(&types, |_| own.to_owned(), "HISTORY FILES 'rows.parquet'") + copied));
        parquet_file::write(&folder.path().join("rows.parquet"), form, &answers, &types);
        folder.done(&["run"]);
        folder.write("pipelines/all.sql", stream(&types, str::to_owned, "HISTORY lake.given"));
        compare(&answers, &query(&folder, &texts_of(&types)), Expect::Readers);
    }
}

#[test]
fn columns_that_sql_does_not_cast_are_refused() {
    for form in parquet_file::FORMS {
        let (types, _) = castable(form);
        for refused in TYPES.into_iter().filter(|of| !types.contains(of)) {
            let folder = Folder::new(&stream(&[refused], str::to_owned, "HISTORY FILES 'rows.parquet'"));
            parquet_file::write(&folder.path().join("rows.parquet"), form, &of_form(form)[..1], &[refused]);
            let ran = folder.run(&["check"]);
            let said = format!("column \"{}\" is ", column(refused));
            assert!(ran.code == 1 && ran.err.contains(&said), "{form} for {refused}: {}", ran.err);
            let hint = "epoch_ms";
            let is_time = refused == "TIMESTAMP" && form.starts_with("int");
            assert!(!is_time || form == "int96" || ran.err.contains(hint), "{form} for {refused}: {}", ran.err);
        }
    }
}
