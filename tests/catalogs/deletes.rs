//! Tables whose rows other engines have deleted: what we read is what Iceberg's own library for Java reads.

use crate::project::Folder;
use connector_iceberg::Warehouse;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tests::catalogs::write_java_tables;
use tests::{surplus, table_rows};

/// A stream whose history is a table with deletes.
const STREAM: &str = "
CREATE STREAM numbered (id BIGINT, text TEXT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND)
HISTORY java.positions;
";
const SETTINGS: &str = r#"
[project]
name = "of_java"
[env.dev]
history = { warehouse = "./warehouse" }
live    = { topics = "./topics" }
"#;

/// A project over tables that the program in Java has written, and where it has put their rows; `None` where it cannot
/// be run.
fn java_tables() -> Option<(Folder, PathBuf)> {
    let folder = Folder::new(SETTINGS);
    fs::write(folder.path().join("pipelines/all.sql"), STREAM).unwrap();
    let rows = folder.path().join("rows");
    let program = tests::root().join("tests/catalogs/JavaTables.java");
    write_java_tables(&program, &folder.path().join("warehouse"), &rows).then_some((folder, rows))
}

fn lines(file: &Path) -> Vec<String> {
    let mut lines: Vec<String> = fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// The files below a folder whose names begin so.
fn files_of(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_of_kind = path.file_name().is_some_and(|name| name.to_str().unwrap().starts_with(kind));
        match path.is_dir() {
            true => found.extend(files_of(&path, kind)),
            false if is_of_kind => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

#[test]
fn rows_that_other_engines_deleted_are_not_read() {
    let Some((folder, rows)) = java_tables() else { return };
    let warehouse = Warehouse::open(&folder.path().join("warehouse")).unwrap();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(&rows).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (found, expected) = (table_rows(&warehouse, &format!("java.{name}")), lines(&path));
        let (more, less) = (surplus(&found, &expected), surplus(&expected, &found));
        assert!(more.is_empty() && less.is_empty(), "{name}: {more:?} are too many, and {less:?} too few");
        assert_eq!(warehouse.rows(&format!("java.{name}")).unwrap(), expected.len() as u64, "{name}");
        seen.insert(name);
    }
    for name in
        ["positions", "several_keys", "one_commit", "partitions", "evolved_spec", "evolved_schema", "all_deleted"]
    {
        assert!(seen.contains(name), "{name}");
    }
    assert!(seen.contains("vectors") && seen.contains("vectors_after_positions"));
    assert_eq!(seen.iter().filter(|name| name.starts_with("key_")).count(), 15);

    let query = |sql: &str| folder.printed(&["query", sql, "--csv"], "dev");
    let ids = query("SELECT id FROM java.positions ORDER BY id");
    let mut expected: Vec<i64> =
        lines(&rows.join("positions")).iter().map(|line| line.split('|').next().unwrap().parse().unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(ids.lines().skip(1).map(|id| id.parse().unwrap()).collect::<Vec<i64>>(), expected);
    let counted = |from: &str| query(&format!("SELECT count(*), sum(id), min(id), max(id) FROM {from}"));
    let sum: i64 = expected.iter().sum();
    let told = format!("{},{sum},{},{}", expected.len(), expected[0], expected[expected.len() - 1]);
    for from in ["java.positions", "numbered"] {
        assert_eq!(counted(from).lines().nth(1), Some(told.as_str()), "{from}");
    }
    assert_eq!(query("SELECT count(*) FROM java.all_deleted").lines().nth(1), Some("0"));
    columns_of_types_that_are_not_read(&folder);
    let refused = folder.refused(&["query", "SELECT id FROM java.nested_key"], "dev");
    assert!(refused.contains("table \"java.nested_key\"") && refused.contains("column \"of.inner\""), "{refused}");
}

/// A column whose type is not known, or that no statement uses, is not looked at.
fn columns_of_types_that_are_not_read(folder: &Folder) {
    let answer =
        |sql: &str| folder.printed(&["query", sql, "--csv"], "dev").lines().skip(1).collect::<Vec<_>>().join(" ");
    assert_eq!(answer("SELECT id FROM java.nanos ORDER BY id"), "1 2");
    for (table, kind) in [("variant", "variant"), ("unknown", "unknown")] {
        assert_eq!(answer(&format!("SELECT id, text FROM java.{table} ORDER BY id")), "1,a 3,c", "{table}");
        assert_eq!(answer(&format!("SELECT count(*) FROM java.{table}")), "2");
        let within = format!("WITH t AS (SELECT * FROM java.{table}) SELECT text FROM t WHERE id > 1");
        assert_eq!(answer(&within), "c");
        for asked in ["SELECT * FROM java.{}", "SELECT id FROM java.{} WHERE other IS NULL"] {
            let refused = folder.refused(&["query", &asked.replace("{}", table)], "dev");
            let told = format!("table \"java.{table}\": column \"other\" has type {kind}, which is not read here");
            assert!(refused.contains(&told), "{refused}");
        }
    }
    for table in ["geometry", "geography"] {
        assert_eq!(answer(&format!("SELECT count(*), min(text) FROM java.{table}")), "0,");
    }
}

#[test]
fn a_delete_file_that_is_missing_or_damaged_stops_by_name_before_any_row() {
    let Some((folder, _)) = java_tables() else { return };
    let refused = |table: &str, rows_of_others: usize| {
        let ran = folder.command(&["query", &format!("SELECT id FROM java.{table}"), "--csv"], "dev");
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{told}");
        let rows = String::from_utf8_lossy(&ran.stdout).lines().filter(|line| *line != "id").count();
        assert!(rows <= rows_of_others, "{table}: {rows} rows");
        assert!(told.contains(&format!("table \"java.{table}\": delete file \"")), "{told}");
        told
    };
    let of = |table: &str, kind: &str| files_of(&folder.path().join("warehouse/java").join(table).join("data"), kind);
    // Files that have no deletes, or others, give their rows.
    for (table, kind, others) in [("all_deleted", "positions", 0), ("key_long", "equality", 4), ("vectors", "0000", 18)]
    {
        let file = of(table, kind).pop().unwrap();
        let whole = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(refused(table, others).contains("the file is missing"), "{table}");
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert!(
            refused(table, others).contains(&format!("has {} bytes, expected {}", whole.len() - 1, whole.len())),
            "{table}"
        );
        if table == "vectors" {
            let mut damaged = whole.clone();
            damaged[100] ^= 1;
            fs::write(&file, &damaged).unwrap();
            assert!(refused(table, others).contains("a deletion vector that does not have the checksum that it tells"));
        }
        fs::write(&file, &whole).unwrap();
        folder.to_end(&["query", &format!("SELECT id FROM java.{table}"), "--csv"], "dev");
    }
}
