//! Whole projects and what they become.

use crate::catalog::Known;
use crate::{assert_none, compare, files, folder, source};
use sql::{SourceFile, Target, check, parse};
use std::path::Path;

fn explain(files: &[SourceFile]) -> String {
    let statements = parse(files).unwrap_or_else(|wrong| panic!("{}", texts(&wrong)));
    let checked = check(&statements, &Known, &Target::All).unwrap_or_else(|wrong| panic!("{}", texts(&wrong)));
    checked.explained().unwrap_or_else(|wrong| panic!("{}", texts(&wrong))).to_string()
}

fn texts(wrong: &[sql::Diagnostic]) -> String {
    wrong.iter().map(|wrong| format!("{wrong}\n")).collect()
}

#[test]
fn projects_become_the_expected_plans() {
    crate::assert_no_orphans(&folder().join("plans"), &["flights.txt"]);
    let different = files(&folder().join("plans"), ".sql").into_iter().filter_map(|path| {
        let plan = explain(&[source(&path)]);
        compare(&path.with_extension("txt"), &plan)
    });
    assert_none(different.collect());
}

#[test]
fn the_flights_example_becomes_the_expected_plan() {
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights/pipelines");
    let sources: Vec<SourceFile> = files(&pipelines, ".sql").iter().map(|path| source(path)).collect();
    assert!(sources.len() >= 4, "the example has its pipelines");
    let plan = explain(&sources);
    assert_none(compare(&folder().join("plans/flights.txt"), &plan).into_iter().collect());
}
