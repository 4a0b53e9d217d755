//! `test`: every TEST as a stream, and killed on its way.

use crate::bad_rows::{Command, LeftOut};
use crate::clock::Stopwatch;
use crate::color::{self, Meaning};
use crate::engine_job::engine_job;
use crate::outcome::Outcome;
use crate::{print, report, show};
use dataflow::{Error, MemoryCheckpoints, SpillInMemory, StateMemory};
use engine::{Control, Driver, Step};
use project::{CollectedRun, Failure, Project, Unmet};
use sql::{Statements, Test, near_or_all};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the tests whose name holds the filter. Exits with 1 when one fails.
pub fn test(project: &Project, filter: Option<&str>, json: bool) -> Outcome {
    let statements = project.with_tests()?;
    let all = statements.tests();
    let tests: Vec<&Test> = all.iter().filter(|test| filter.is_none_or(|text| test.name.contains(text))).collect();
    if let (Some(text), true) = (filter, tests.is_empty()) {
        let names = all.iter().map(|test| test.name.as_str());
        let known = near_or_all(text, names, "the tests are:", "there is no test");
        return Err(Error::invalid(format!("no test has \"{text}\" in its name; {known}")).into());
    }
    if tests.is_empty() && !json {
        print::note(format_args!(
            "the project has no test: write TEST 'what it shows'; GIVEN ..; EXPECT ..; in tests/*.test.sql"
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let (watch, mut failed) = (Stopwatch::start(), 0);
    for test in tests.iter().copied() {
        let failures = run(project, &statements, test, if json { usize::MAX } else { ROWS_MAX });
        let texts = match &failures {
            Ok(texts) => texts.clone(),
            Err(_) => vec!["could not run".to_owned()],
        };
        failed += usize::from(!texts.is_empty());
        if json {
            let told =
                serde_json::json!({ "test": test.name, "path": test.path, "line": test.line, "failures": texts });
            print::line(&told.to_string())?;
            continue;
        }
        let verdict = match texts.is_empty() {
            true => format!("{}    ", color::out(Meaning::Good, "ok")),
            false => color::out(Meaning::Error, "FAILED"),
        };
        print::line(&format!("{verdict} {}", test.name))?;
        match &failures {
            Ok(texts) => {
                let lines: String = texts.iter().map(|text| format!("       {text}\n")).collect();
                print::data(&print::for_terminal(lines)).map(drop)?;
            }
            Err(failure) => report::failure(failure),
        }
    }
    let took = show::duration(watch.elapsed());
    print::note(format_args!("{} passed, {failed} failed, in {took}", tests.len() - failed));
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// How many rows of each kind that did not come out are shown.
const ROWS_MAX: usize = 10;
/// How often a test that holds as a stream is killed and taken up again.
const KILLS: u64 = 8;
/// After how many steps at most a run is killed.
const STEPS_MAX: u64 = 120;

/// How many rows a page of state has in runs that are killed.
const PAGE_ROWS: usize = 3;

/// Runs a test as a stream, on threads; then, in one thread, so that it is killed at some steps and goes on from its
/// checkpoints with other numbers of workers. Gives what did not come out as it should.
fn run(project: &Project, statements: &Statements, test: &Test, rows_max: usize) -> Result<Vec<String>, Failure> {
    let of_test = project.test_job(statements, test, None)?;
    let stats = of_test.wired.stats.clone();
    let (job, _spill) = engine_job(of_test.wired, None)?;
    let ended = engine::run(job, &Arc::new(Control::default()), &mut |_| ())?;
    let mut failures = told(of_test.expected.failures(rows_max)?);
    if !failures.is_empty() {
        let left_out = LeftOut::of(&stats, &ended.status);
        let told = left_out.text(project, Command::Query);
        failures.extend(told.lines().map(str::to_owned));
        return Ok(failures);
    }
    let killed = told(run_killed(project, statements, test, rows_max)?);
    Ok(killed.into_iter().map(|text| format!("killed and taken up again, which changed it: {text}")).collect())
}

/// What did not come out, one text each, and how many more rows are so.
fn told(failures: Vec<Unmet>) -> Vec<String> {
    let texts = |unmet: Unmet| {
        let more = (unmet.more > 0)
            .then(|| format!("and {} more rows; `riverrun test --json` lists all", show::count(unmet.more as i64)));
        std::iter::once(unmet.text).chain(more)
    };
    failures.into_iter().flat_map(texts).collect()
}

fn run_killed(project: &Project, statements: &Statements, test: &Test, rows_max: usize) -> Result<Vec<Unmet>, Failure> {
    let mut earlier: Option<CollectedRun> = None;
    for run in 0..=KILLS {
        let mut of_test = project.test_job(statements, test, earlier.clone())?;
        let (store, rows) = (MemoryCheckpoints::default(), of_test.wired.collected.clone());
        of_test.wired.checkpoints = Some(Box::new(store.clone()));
        let (mut job, _spill) = engine_job(of_test.wired, Some(1 + run as usize % 3))?;
        // All state that can be put aside is, in pages that tests of a few rows fill.
        job.state_memory = StateMemory::with_pages_of(PAGE_ROWS, 0, Box::new(SpillInMemory));
        let mut driver = Driver::new(job, run)?;
        if run == KILLS {
            driver.run(&mut || Ok(()))?;
            return Ok(of_test.expected.failures(rows_max)?);
        }
        // Runs are of all lengths up to the longest.
        let steps = 1 + run * STEPS_MAX / KILLS;
        for step in 0..steps {
            if driver.step()? == Step::Finished {
                return Ok(of_test.expected.failures(rows_max)?);
            }
            if step == steps / 2 {
                driver.control().commit();
            }
        }
        if let Some(restored) = store.last() {
            earlier = Some(CollectedRun { restored: Arc::new(restored), rows });
        }
    }
    Ok(vec![])
}
