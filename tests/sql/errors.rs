//! Wrong SQL that only a project shows, since files, tables and models say what it means.

use crate::place::wrong;
use dataflow::{ManualClock, ProcessingTime};
use project::Project;
use sql::Target;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The whole message of each `.sql` file stands in the `.err` file beside it.
#[test]
fn wrong_sql_says_where_what_and_what_to_do() {
    let folder = tests::root().join("tests/sql/errors");
    let (mut count, mut differ) = (0, Vec::new());
    for entry in fs::read_dir(&folder).expect("the files are there") {
        let path = entry.expect("the files are there").path();
        assert!(path.with_extension("sql").exists(), "{} has no .sql beside it", path.display());
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let told = told(&fs::read_to_string(&path).expect("the file can be read"));
        let beside = path.with_extension("err");
        if std::env::var_os("RIVERRUN_REWRITE").is_some() {
            fs::write(&beside, &told).expect("the message can be written");
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if told != expected {
            differ.push(format!("{}\n--- is\n{expected}\n--- came\n{told}", beside.display()));
        }
        count += 1;
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(count >= 8, "only {count} files");
}

/// What checking a project says whose SQL is this, beside the files of the template.
fn told(text: &str) -> String {
    let template = tests::root().join("crates/riverrun/template");
    let place = tempfile::tempdir().expect("a folder for the test can be made");
    for name in ["data/messages.csv", "models/spam.onnx"] {
        copy(&template, place.path(), name);
    }
    fs::write(place.path().join("data/empty.jsonl"), "").expect("the project can be written");
    fs::create_dir(place.path().join("pipelines")).expect("the project can be written");
    fs::write(place.path().join("pipelines/wrong.sql"), text).expect("the project can be written");
    let clock = Arc::new(ManualClock::new(ProcessingTime(0)));
    let checked = Project::open(place.path(), "dev", clock).and_then(|project| project.check_wiring(&Target::All));
    let message = match checked {
        Ok(_) => "nothing is wrong\n".to_owned(),
        Err(failure) => wrong(failure).chain(),
    };
    assert!(!place.path().join("warehouse").exists(), "checking makes no warehouse");
    let folder = place.path().display().to_string();
    message.replace(&format!("{folder}/"), "").replace(&folder, ".")
}

fn copy(from: &Path, to: &Path, name: &str) {
    let target = to.join(name);
    fs::create_dir_all(target.parent().expect("a file lies in a folder")).expect("the folder can be made");
    fs::copy(from.join(name), target).expect("the file is there");
}
