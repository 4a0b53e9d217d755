//! The real program, struck at system calls: killed before one, or told by one that the disk fails.
//!
//! `LASTS_BLOWS` says how many trials there are, `LASTS_FIRST` the seed of the first.

use crate::kills::{BURST, RUN, Trial};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use tests::{Chance, Ended, Program, riverrun};

/// System calls by which a run changes what lasts, and about how many of them its busiest thread makes.
const CHANGES: [(&str, u64); 9] = [
    ("fsync,fdatasync", 60),
    ("rename,renameat,renameat2", 10),
    ("link,linkat", 3),
    ("write,writev", 18),
    ("pwrite64", 66),
    ("openat", 130),
    ("mkdir", 19),
    ("unlink,unlinkat", 6),
    ("ftruncate", 5),
];
/// Those that a failing disk fails, with what it says.
const FAILURES: [(&str, &str, u64); 7] = [
    ("fsync,fdatasync", "EIO", 60),
    ("write,writev", "ENOSPC", 18),
    ("write,writev", "EIO", 18),
    ("pwrite64", "ENOSPC", 66),
    ("pwrite64", "EIO", 66),
    ("rename,renameat,renameat2,link,linkat", "ENOSPC", 10),
    ("mkdir", "ENOSPC", 19),
];
/// What an error of the operating system, or of SQLite, is called in a message.
const NAMED: [&str; 6] = [
    "Input/output error",
    "No space left on device",
    "no room",
    "disk I/O error",
    "database or disk is full",
    "error while loading shared libraries",
];

/// What happens at a system call.
#[derive(Debug)]
struct Blow {
    calls: &'static str,
    what: String,
}

impl Blow {
    /// Small numbers are as likely as large ones: most threads make few calls, and one makes many.
    fn number(chance: &mut Chance, most: u64) -> u64 {
        let bound = chance.of(&[2, most / 4, most]).max(1);
        1 + chance.below(bound)
    }

    fn kill(chance: &mut Chance) -> Blow {
        let (calls, most) = chance.of(&CHANGES);
        Blow { calls, what: format!("signal=SIGKILL:when={}", Blow::number(chance, most)) }
    }

    /// A disk that fails once, a few times, or from then on.
    fn failure(chance: &mut Chance) -> Blow {
        let (calls, error, most) = chance.of(&FAILURES);
        let first = Blow::number(chance, most);
        let when = chance.of(&["", "..+3", "+"]);
        let when = match when {
            "..+3" => format!("{first}..{}", first + 3),
            when => format!("{first}{when}"),
        };
        Blow { calls, what: format!("error={error}:when={when}") }
    }
}

/// Whether programs can be traced here; says so where they cannot.
pub fn can_strike() -> bool {
    let traces = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).status();
    let can = traces.is_ok_and(|status| status.success());
    if !can {
        assert!(std::env::var("CI").is_err(), "strace is missing, or may not trace: tests of struck programs need it");
        eprintln!("TESTS OF STRUCK PROGRAMS DO NOT RUN: strace is missing, or may not trace");
    }
    can
}

impl Trial {
    /// Runs the job to the end of what there is, and strikes it on its way; gives how it ended, how often it was struck, and
    /// whether what it said was.
    fn struck(&mut self, blow: &Blow) -> (Ended, usize, bool) {
        let trace = self.path().join("trace");
        let workers = (1 + self.chance.below(4)).to_string();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "--seccomp-bpf", "-o"]).arg(&trace);
        command.args(["-e", &format!("trace={}", blow.calls), "-e", &format!("inject={}:{}", blow.calls, blow.what)]);
        command.arg(riverrun()).arg("--project").arg(self.path());
        command.args(["run", "--until-caught-up", "--workers", &workers]);
        let ended = Program::spawn(command).ended(RUN).expect("it ends");
        // A file of a trace has bytes that are no text, where a write has put them.
        let told = String::from_utf8_lossy(&fs::read(&trace).unwrap()).into_owned();
        let injected: Vec<&str> = told.lines().filter(|line| line.contains("(INJECTED)")).collect();
        let is_silent = injected.iter().any(|line| line.contains("write(2,") || line.contains("writev(2,"));
        (ended, injected.len(), is_silent)
    }
}

/// Gives how many runs were killed, and how many were told of a failure.
fn trial(seed: u64) -> (usize, usize) {
    let mut trial = Trial::new(seed);
    // Nothing is published later: what comes for a time before the end of a bounded run is moved, and a replay says otherwise.
    trial.publish(BURST);
    if trial.chance.permille(500) {
        let archive = Program::start(trial.path(), &["run", "archive", "--until-caught-up"]).ended(RUN).unwrap();
        assert_eq!(archive.code, Some(0), "{}", archive.told);
    }
    let (mut killed, mut failed, mut blows) = (0, 0, Vec::new());
    for _ in 0..1 + trial.chance.below(3) {
        let is_kill = trial.chance.permille(600);
        let blow = if is_kill { Blow::kill(&mut trial.chance) } else { Blow::failure(&mut trial.chance) };
        let (ended, struck, is_silent) = trial.struck(&blow);
        let what = format!("seed {seed}, {blow:?}, {struck} calls, {:?}: {}", ended.code, ended.told);
        assert!(!ended.told.contains("panicked"), "{what}");
        match (is_kill, ended.code) {
            (true, None) => killed += 1,
            // The run has made fewer calls than that, or was not told of an error that does not concern it.
            (_, Some(0)) => {}
            (false, Some(1 | 127)) => {
                assert!(is_silent || NAMED.iter().any(|name| ended.told.contains(name)), "{what}");
            }
            _ => panic!("{what}"),
        }
        failed += usize::from(!is_kill && struck > 0);
        blows.push(blow);
    }
    trial.finish(&format!("seed {seed}, {blows:?}"));
    (killed, failed)
}

#[test]
fn rows_are_each_there_once_wherever_the_program_is_struck() {
    if !can_strike() {
        return;
    }
    let trials = std::env::var("LASTS_BLOWS").map_or(12, |trials| trials.parse().unwrap());
    let first = std::env::var("LASTS_FIRST").map_or(0, |seed| seed.parse().unwrap());
    let mut counts = BTreeMap::<&str, usize>::new();
    for seed in first..first + trials {
        let (killed, failed) = trial(seed);
        *counts.entry("killed").or_default() += killed;
        *counts.entry("failed").or_default() += failed;
    }
    eprintln!("{trials} trials: {counts:?}");
    assert!(counts.values().all(|count| *count > 0), "{counts:?}: take more LASTS_BLOWS");
}
