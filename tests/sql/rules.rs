//! Rules that make plans better change no row, no dead letter and no count, of any file and of random projects.

use crate::conservation::Case;
use crate::files;
use crate::harness::{Bench, By, Host};
use sql::Rule;
use sqllogictest::Runner;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tests::RowCounts;

/// How many random projects are tried.
const CASES: u64 = 20;

/// All rules but one, for each of them, and none.
fn left_out() -> Vec<(&'static str, Vec<Rule>)> {
    let others = |left_out: Rule| Rule::ALL.into_iter().filter(|rule| *rule != left_out).collect();
    let mut all: Vec<_> = Rule::ALL.into_iter().map(|rule| (rule.name(), others(rule))).collect();
    all.push(("every rule", vec![]));
    all
}

/// Runs a file, whose rows are those that it expects; what becomes of rows after each of its queries.
fn counts(path: &Path, rules: &[Rule]) -> Result<Vec<RowCounts>, String> {
    let host = Host { workers: 2, archives: true, by: By::Seed(11) };
    let counted = Arc::new(Mutex::new(Vec::new()));
    let bench = || Bench::new(host, Arc::default()).with_rules(rules, counted.clone());
    let mut runner = Runner::new(|| async { Ok(bench()) });
    runner.run_file(path).map_err(|error| error.display(false).to_string())?;
    let counts = counted.lock().expect("no other thread fails").clone();
    Ok(counts)
}

#[test]
fn files_give_the_same_rows_and_counts_with_any_rule_left_out() {
    let mut removed = 0;
    for path in files() {
        let all = counts(&path, &Rule::ALL).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(!all.is_empty(), "{} runs nothing", path.display());
        removed += all.iter().map(RowCounts::removed_or_moved).sum::<u64>();
        for (name, rules) in left_out() {
            let some = counts(&path, &rules).unwrap_or_else(|wrong| panic!("without {name}: {wrong}"));
            let agree = all.len() == some.len() && all.iter().zip(&some).all(|(all, some)| all.agree(some));
            assert!(agree, "{} without {name}: {all:?}, and then {some:?}", path.display());
        }
    }
    assert!(removed >= 20, "only {removed} rows are late, bad or repeated");
}

#[test]
fn random_projects_give_the_same_counts_with_any_rule_left_out() {
    let (mut removed, mut failed) = (0, 0);
    for seed in 0..CASES {
        let case = Case::of(seed);
        let of = |rules: &[Rule]| case.run(rules).map(|ran| ran.row_counts());
        let all = of(&Rule::ALL);
        for (name, rules) in left_out() {
            match (&all, of(&rules)) {
                (Ok(all), Ok(some)) => {
                    assert!(all.agree(&some), "seed {seed} without {name}: {all:?}, and then {some:?}");
                }
                (Err(_), Err(_)) => {}
                (all, some) => panic!("seed {seed}: {all:?}, without {name} {some:?}"),
            }
        }
        removed += all.as_ref().map_or(0, RowCounts::removed_or_moved);
        failed += u64::from(all.is_err());
    }
    assert!(removed >= 20 && failed >= 1, "{removed} rows are late, bad or repeated, and {failed} jobs fail");
}
