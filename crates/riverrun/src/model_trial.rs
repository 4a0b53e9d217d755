//! A model that no run has used yet, tried in a process of its own: what it does there ends no job.
//!
//! The checks of a model's file are meant to refuse all that could do harm. What they overlook ends a child that has
//! little time and memory, with a message that names the file, and not a job that runs for weeks.

use crate::outcome::Outcome;
use dataflow::{Error, Result, Scorer};
use model::{FILE_BYTES_MAX, Model, ModelFile};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGKILL, SIGXCPU};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

/// How much memory a child may have; what a file of the greatest size may rightly take is a quarter of it.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// How many seconds of CPU it may take.
const CPU_S_MAX: u64 = 20;
/// The rows that are scored; a row may take a tenth of a second.
const ROWS: usize = 2;

/// Loads and scores a model in a child.
pub fn attempt(file: &ModelFile) -> Result<()> {
    let failed = |error| Error::unavailable(format!("{}: cannot be tried out", file.place())).with_source(error);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["model", "try"]).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that has ended reads no more, and how it ended says why.
        let _ = stdin.write_all(file.bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    match harm(output.status, &String::from_utf8_lossy(&output.stderr)) {
        None => Ok(()),
        Some(harm) => Err(Error::invalid(format!(
            "{}: {harm}; it was tried in a process of its own, and is not loaded",
            file.place()
        ))),
    }
}

/// What a model did to the child that tried it, if it did harm.
fn harm(status: ExitStatus, said: &str) -> Option<String> {
    if status.success() {
        return None;
    }
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Some(match status.signal() {
        Some(SIGKILL | SIGXCPU) => format!("loading it and scoring {ROWS} rows takes more than {CPU_S_MAX} s"),
        _ if said.contains("memory allocation of") => {
            format!("loading it and scoring {ROWS} rows takes more than {} GiB of memory", MEMORY_BYTES_MAX >> 30)
        }
        _ => format!("loading it and scoring {ROWS} rows ends the process ({status}: {line})"),
    })
}

/// The child: reads a model, loads and scores it. That a model is refused is no harm.
pub fn child() -> Outcome {
    let failed = |error: std::io::Error| Error::unavailable("the model cannot be tried out").with_source(error);
    let limits = [(Resource::As, MEMORY_BYTES_MAX), (Resource::Cpu, CPU_S_MAX), (Resource::Core, 0)];
    for (resource, most) in limits {
        let most = getrlimit(resource).maximum.map_or(most, |there| there.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .map_err(|error| failed(error.into()))?;
    }
    let mut bytes = Vec::new();
    std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let loaded = Model::from_bytes("tried", bytes).and_then(|model| Ok((model.select_all()?, model.probe(ROWS))));
    if let Ok((scorer, rows)) = loaded {
        scorer.score(&rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_child_is_told() {
        let ended = |signal: i32| ExitStatus::from_raw(signal);
        let said = "memory allocation of 99999999999 bytes failed";
        assert_eq!(harm(ended(0), ""), None);
        assert!(harm(ended(SIGXCPU), "").is_some_and(|harm| harm.contains("takes more than 20 s")));
        assert!(harm(ended(6), said).is_some_and(|harm| harm.contains("more than 4 GiB of memory")));
        assert!(harm(ended(11), "").is_some_and(|harm| harm.contains("ends the process (signal: 11")));
        let panicked = harm(ended(101 << 8), "\nthread 'main' panicked at a.rs:1:1:\n");
        assert!(panicked.is_some_and(|harm| harm.contains("exit status: 101: thread 'main' panicked")));
    }
}
