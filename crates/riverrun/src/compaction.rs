//! Compacts the tables that a job writes while it runs.

use crate::print;
use crate::report;
use crate::show;
use project::{CompactSummary, Failure, Project};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};

/// Runs a command; where the project asks for it, a thread beside it compacts the tables of the job every so often. What
/// cannot be compacted is said and tried again: a command does not end for it.
pub fn beside<T>(project: &Project, job: Option<&str>, command: impl FnOnce() -> T) -> T {
    let Some(every) = project.compact_every() else { return command() };
    std::thread::scope(|scope| {
        let (running, ended) = channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                compact(project, job, &ended);
            }
        });
        let result = command();
        drop(running);
        result
    })
}

fn compact(project: &Project, job: Option<&str>, ended: &Receiver<()>) {
    let go_on = || ended.try_recv() == Err(TryRecvError::Empty);
    match project.compact_outputs(job, &go_on) {
        Ok(tables) => {
            for (table, compacted) in tables {
                match compacted {
                    Ok(summary) if summary.files_before > 0 => tell(&table, &summary),
                    Ok(_) => {}
                    Err(error) => failed(&Failure::Error(error)),
                }
            }
        }
        Err(failure) => failed(&failure),
    }
}

fn tell(table: &str, summary: &CompactSummary) {
    print::note(format_args!(
        "table {table}: {} compacted into {}",
        show::counted(summary.files_before as i64, "file"),
        summary.files_after
    ));
}

fn failed(failure: &Failure) {
    print::note(format_args!("a table could not be compacted, and the job goes on:"));
    report::failure(failure);
}
