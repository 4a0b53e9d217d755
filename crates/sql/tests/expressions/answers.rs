//! Every expression of `expressions.txt` over every row of `rows.tsv`, against what DuckDB 2.0.0 answers.

use crate::table::{batch, compiled, folder, scope};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use std::io::Write;
use std::path::Path;
use std::process::Command;

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 => "VARCHAR".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Duration(_) => "INTERVAL".into(),
        DataType::Decimal128(digits, scale) => format!("DECIMAL({digits},{scale})"),
        other => other.to_string(),
    }
}

/// Whether a value is what the answer says. Functions of the C library may differ in the last bit.
fn same(values: &ArrayRef, row: usize, answer: &str) -> bool {
    if values.is_null(row) || answer == "\\N" {
        return values.is_null(row) && answer == "\\N";
    }
    let close = |value: f64, bits: f64| {
        let expected: f64 = answer.parse().unwrap();
        value == expected || (value.is_nan() && expected.is_nan()) || (value - expected).abs() <= bits * expected.abs()
    };
    match values.data_type() {
        DataType::Float64 => close(values.as_primitive::<Float64Type>().value(row), 4e-15),
        DataType::Float32 => close(values.as_primitive::<Float32Type>().value(row).into(), 1e-7),
        DataType::Utf8 => serde_json::to_string(values.as_string::<i32>().value(row)).unwrap() == answer,
        DataType::Boolean => values.as_boolean().value(row).to_string() == answer,
        DataType::Date32 => values.as_primitive::<Date32Type>().value(row).to_string() == answer,
        DataType::Timestamp(..) => values.as_primitive::<TimestampMicrosecondType>().value(row).to_string() == answer,
        DataType::Duration(_) => values.as_primitive::<DurationMicrosecondType>().value(row).to_string() == answer,
        DataType::Decimal128(..) => values.as_primitive::<Decimal128Type>().value_as_string(row) == answer,
        _ => cast(values, &DataType::Int64).unwrap().as_primitive::<Int64Type>().value(row).to_string() == answer,
    }
}

fn shown(values: &ArrayRef, row: usize) -> String {
    arrow::util::display::array_value_to_string(values, row).unwrap()
}

/// What differs, a line each.
fn differences(answers: &str) -> Vec<String> {
    let batch = batch();
    let scope = scope(&batch);
    let mut wrong = Vec::new();
    for line in answers.lines() {
        let [expression, data_type, answers @ ..] = &line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        assert_eq!(answers.len(), batch.rows(), "{line}");
        let compiled = match compiled(expression, &scope) {
            Ok(compiled) => compiled,
            Err(problem) => {
                wrong.push(format!("{expression}: {problem:?}"));
                continue;
            }
        };
        if type_name(&compiled.data_type) != *data_type {
            wrong.push(format!("{expression}: {} instead of {data_type}", compiled.data_type));
        }
        let result = compiled.scalar.evaluate(&batch).unwrap();
        assert!(compiled.can_fail || result.failed.is_empty(), "{expression} fails, and it is said that it cannot");
        let text = compiled.text(&scope);
        let again = crate::table::compiled(&text, &scope).unwrap_or_else(|problem| panic!("{text}: {problem:?}"));
        assert_eq!(again, compiled, "{expression} is printed as {text}");
        for (row, answer) in answers.iter().enumerate() {
            let failed = result.failed.iter().find(|(failed, _)| *failed == row);
            match (failed, *answer) {
                (Some(_), "!") => assert!(result.values.is_null(row), "{expression}: a failed row has a value"),
                (Some((_, error)), _) => wrong.push(format!("{expression}, row {row}: {error} instead of {answer}")),
                (None, answer) if answer != "!" && same(&result.values, row, answer) => {}
                _ => wrong.push(format!("{expression}, row {row}: {} instead of {answer}", shown(&result.values, row))),
            }
        }
    }
    wrong
}

#[test]
fn expressions_give_the_answers_that_duckdb_gave() {
    let answers = std::fs::read_to_string(folder().join("answers.tsv")).unwrap();
    let asked = std::fs::read_to_string(folder().join("expressions.txt")).unwrap();
    assert!(asked.lines().count() >= 500, "only {} expressions", asked.lines().count());
    let answered: Vec<&str> = answers.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
    assert_eq!(answered, asked.lines().collect::<Vec<_>>(), "every expression has its answers, and no other has");
    let wrong = differences(&answers);
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// The rows on which an expression fails.
fn failing(expression: &str) -> Vec<usize> {
    let batch = batch();
    let compiled = compiled(expression, &scope(&batch)).unwrap();
    compiled.scalar.evaluate(&batch).unwrap().failed.into_iter().map(|(row, _)| row).collect()
}

#[test]
fn a_branch_that_is_not_taken_does_not_fail() {
    assert_eq!(failing("10 // n > 1"), [1, 8]);
    assert!(failing("n <> 0 AND 10 // n > 1").is_empty());
    assert_eq!(failing("10 // n > 1 AND n <> 0"), [1, 8]);
    // DuckDB computes both sides of an OR; here the left side decides what is computed.
    assert!(failing("n = 0 OR 10 // n > 1").is_empty());
    assert!(failing("NOT (n <> 0) OR 10 // n > 1").is_empty());
    assert!(failing("CASE WHEN n = 0 THEN 0 ELSE 10 // n END").is_empty());
    assert_eq!(failing("CASE WHEN 10 // n > 1 THEN 0 WHEN n = 0 THEN 1 ELSE 2 END"), [1, 8]);
    assert_eq!(failing("coalesce(n, 10 // 0)"), [4, 10]);
    assert!(failing("if(n = 0, n, 10 % n)").is_empty());
    assert!(failing("TRY(10 // n)").is_empty());
    assert_eq!(failing("10 // (n - 2)"), [0, 11]);
}

/// A Python with DuckDB 2.0.0 in the user's cache, made when it is not there; `None` without a network.
fn python() -> Option<std::path::PathBuf> {
    let home = std::env::var_os("HOME")?;
    let venv = Path::new(&home).join(".cache/riverrun/venv-duckdb-2.0.0");
    let python = venv.join("bin/python");
    let works = |python: &Path| {
        let check = Command::new(python).args(["-c", "import duckdb; assert duckdb.__version__ == '2.0.0'"]).output();
        check.is_ok_and(|output| output.status.success())
    };
    if works(&python) {
        return Some(python);
    }
    Command::new("python3").arg("-m").arg("venv").arg(&venv).output().ok()?;
    Command::new(&python).args(["-m", "pip", "install", "--quiet", "duckdb==2.0.0"]).output().ok()?;
    works(&python).then_some(python)
}

/// Says what was not run where the output of tests that pass is not shown either; in CI nothing may be left out.
fn not_run(what: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci == "false"), "NOT RUN: {what}");
    let _ = writeln!(std::io::stderr(), "NOT RUN: {what}");
}

/// What a script of this folder prints, or nothing without DuckDB, which is said.
pub fn printed_by_duckdb(script: &str) -> Option<String> {
    let Some(python) = python() else {
        not_run("duckdb 2.0.0 could not be installed; the committed answers were not compared with DuckDB itself");
        return None;
    };
    let output = Command::new(python).arg(folder().join(script)).arg(folder()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn duckdb_still_gives_the_committed_answers() {
    let Some(live) = printed_by_duckdb("oracle.py") else { return };
    let committed = std::fs::read_to_string(folder().join("answers.tsv")).unwrap();
    for (live, committed) in live.lines().zip(committed.lines()) {
        assert_eq!(live, committed);
    }
    assert_eq!(live.lines().count(), committed.lines().count());
}
