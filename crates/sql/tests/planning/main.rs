//! Projects in, plans or diagnostics out, compared with files beside them. `RIVERRUN_REWRITE=1 cargo test` writes the
//! files anew; read the difference before committing it.

#![allow(clippy::unwrap_used)]

mod catalog;
mod errors;
mod lowered;
mod plans;
mod rules;
mod run;
mod statements;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dataflow::Encode;
use sql::SourceFile;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planning")
}

struct RowNumbers;

impl Encode for RowNumbers {
    fn encode(&self, rows: &RecordBatch) -> dataflow::Result<Vec<Vec<u8>>> {
        Ok((0..rows.num_rows()).map(|row| row.to_string().into_bytes()).collect())
    }
}

/// The text of a row, where a test looks at none.
fn row_text(_: SchemaRef) -> dataflow::Result<Arc<dyn Encode>> {
    Ok(Arc::new(RowNumbers))
}

/// The files of a folder that end so, in the order of their names.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

fn source(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    SourceFile { path: name, text: std::fs::read_to_string(path).unwrap() }
}

/// Compares with what is expected, or writes it where a rewrite is asked for. What differs is returned.
#[allow(clippy::disallowed_methods)]
fn compare(expected: &Path, actual: &str) -> Option<String> {
    if std::env::var_os("RIVERRUN_REWRITE").is_some() {
        std::fs::write(expected, actual).unwrap();
        return None;
    }
    let text = std::fs::read_to_string(expected).unwrap_or_default();
    (text != actual).then(|| format!("{}:\n--- expected\n{text}\n--- actual\n{actual}", expected.display()))
}

/// No expected text stays behind that no test reads, and none is empty; some have their SQL elsewhere.
fn assert_no_orphans(folder: &Path, others: &[&str]) {
    for path in files(folder, ".txt") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!std::fs::read_to_string(&path).unwrap().trim().is_empty(), "{name} is empty");
        assert!(others.contains(&&*name) || path.with_extension("sql").exists(), "{name} has no .sql beside it");
    }
}

fn assert_none(different: Vec<String>) {
    assert!(different.is_empty(), "{} files differ\n{}", different.len(), different.join("\n"));
}
