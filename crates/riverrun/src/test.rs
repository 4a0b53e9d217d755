//! `test`: every TEST as a stream.

use crate::clock::Stopwatch;
use crate::color::{self, Meaning};
use crate::outcome::Outcome;
use crate::run::engine_job;
use crate::{print, report, show};
use engine::Control;
use project::{Failure, Project};
use sql::{Statements, Test};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the tests whose name holds the filter. Exits with 1 when one fails.
pub fn test(project: &Project, filter: Option<&str>, json: bool) -> Outcome {
    let statements = project.with_tests()?;
    let tests: Vec<Test> =
        statements.tests().into_iter().filter(|test| filter.is_none_or(|text| test.name.contains(text))).collect();
    let (watch, mut failed) = (Stopwatch::start(), 0);
    for test in &tests {
        let failures = run(project, &statements, test);
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
            Ok(texts) => texts.iter().try_for_each(|text| print::line(&format!("       {text}")).map(drop))?,
            Err(failure) => report::failure(failure),
        }
    }
    let took = show::duration(watch.elapsed());
    print::note(format_args!("{} passed, {failed} failed, in {took}", tests.len() - failed));
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn run(project: &Project, statements: &Statements, test: &Test) -> Result<Vec<String>, Failure> {
    let of_test = project.test_job(statements, test)?;
    let (job, _spill) = engine_job(of_test.wired, None)?;
    engine::run(job, &Arc::new(Control::default()), &mut |_| ())?;
    Ok(of_test.expected.failures()?)
}
