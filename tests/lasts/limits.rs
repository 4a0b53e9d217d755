//! A job on a machine that is short of something, whose disk is slow, whose clock jumps, or that is told to end.

use crate::commands::job;
use crate::kills::{BURST, RUN, Trial};
use crate::struck::can_strike;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::catalogs::{done, installed};
use tests::machine::{SECOND, now, pause};
use tests::{Ended, Program, riverrun};

/// How far the clock of the machine is off, one after the other, in seconds.
const OFFSETS: [i64; 5] = [0, -7_200, 0, 20, 7_200];

impl Trial {
    /// The program under another one, or in a shell.
    fn under(&self, mut command: Command, arguments: &[&str]) -> Program {
        command.arg(riverrun()).arg("--project").arg(self.path()).args(arguments);
        Program::spawn(command)
    }
}

/// Runs a bounded job whose process may have so many files open. One that waits for what it lacks is told to end.
fn with_descriptors(trial: &Trial, most: u32) -> Ended {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]);
    let mut running = trial.under(shell, &["run", "--until-caught-up", "--workers", "4"]);
    let begun = now();
    while now() < begun + RUN {
        if let Some(ended) = running.ended(SECOND / 10) {
            return ended;
        }
        if running.told().contains("Too many open files") {
            let _ = Command::new("kill").args(["-INT", &running.id().to_string()]).output();
        }
    }
    panic!("{most} files: it does not end: {}", running.told());
}

#[test]
fn a_job_that_may_open_too_few_files_says_so_and_goes_on_later() {
    let mut trial = Trial::new(3);
    // What waits for a time beyond the last row would come out by now, if a run went on through silence.
    pause(5 * SECOND);
    let mut short = 0;
    for most in [12, 16, 20, 22, 24, 26, 28, 32, 40, 64] {
        let ended = with_descriptors(&trial, most);
        assert!(!ended.told.contains("panicked"), "{most} files: {}", ended.told);
        match ended.code {
            Some(0) => {}
            Some(1 | 130) => {
                let is_named = ["Too many open files", "unable to open database file"];
                assert!(is_named.iter().any(|name| ended.told.contains(name)), "{most} files: {}", ended.told);
                short += 1;
            }
            code => panic!("{most} files: {code:?}: {}", ended.told),
        }
    }
    assert!(short > 0, "the job needs fewer files than the least of these");
    trial.finish("few files");
}

#[test]
fn a_job_that_is_told_to_end_twice_leaves_what_the_next_run_goes_on_from() {
    let mut trial = Trial::new(4);
    for _ in 0..6 {
        let mut running = trial.program(&[]);
        running.ready();
        trial.publish(BURST / 4);
        pause(trial.chance.between(0, 400_000));
        running.signal("TERM");
        let again = now() + trial.chance.between(0, 60_000);
        while now() < again && running.ended(0).is_none() {}
        if running.ended(0).is_none() {
            // It may end between the look and the signal.
            let _ = Command::new("kill").args(["-TERM", &running.id().to_string()]).output();
        }
        let ended = running.ended(30 * SECOND).expect("it ends");
        assert!(matches!(ended.code, Some(0 | 143)), "{:?}: {}", ended.code, ended.told);
        assert!(!ended.told.contains("panicked"), "{}", ended.told);
    }
    trial.finish("told to end twice");
}

#[test]
fn checkpoints_come_on_a_disk_that_takes_its_time() {
    if !can_strike() {
        return;
    }
    let mut trial = Trial::new(5);
    let mut slow = Command::new("strace");
    slow.args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    slow.args(["-e", "inject=fsync,fdatasync:delay_enter=60000"]);
    let mut running = trial.under(slow, &["run", "--workers", "2"]);
    let checkpoints = trial.project("dev").checkpoints_path(None);
    let newest = || checkpoint::look(&checkpoints).unwrap().map_or(0, |newest| newest.number);
    let begun = now();
    while newest() < 6 {
        assert!(running.ended(0).is_none(), "the job ended by itself: {}", running.told());
        assert!(now() < begun + RUN, "checkpoints do not go on after {}: {}", newest(), running.told());
        trial.publish(12);
        pause(SECOND / 5);
    }
    let ended = stopped(&mut running, trial.path());
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    trial.finish("a slow disk");
}

/// Ends a job that runs under another program, which would not hear a signal.
fn stopped(running: &mut Program, project: &Path) -> Ended {
    let process = job(project)["running"]["process"].as_u64().expect("it runs").to_string();
    done(Command::new("kill").args(["-INT", &process]));
    running.ended(RUN).expect("it ends")
}

/// The library that gives a process another clock; `None` where it cannot be had, which is said.
fn other_clock() -> Option<PathBuf> {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !(has("apt-get") && has("dpkg-deb")) {
        assert!(std::env::var("CI").is_err(), "libfaketime cannot be had: the test of clocks that jump needs it");
        eprintln!("THE TEST OF CLOCKS THAT JUMP DOES NOT RUN: libfaketime cannot be had");
        return None;
    }
    let folder = installed("libfaketime", &|folder| {
        let download = || {
            let mut download = Command::new("apt-get");
            download.args(["download", "libfaketime"]).current_dir(folder);
            download
        };
        if !download().output().is_ok_and(|output| output.status.success()) {
            done(Command::new("apt-get").args(["update"]));
            done(&mut download());
        }
        let packages = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let package = packages.into_iter().find(|path| path.extension().is_some_and(|of| of == "deb")).unwrap();
        done(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder));
    });
    let found = Command::new("find").arg(folder).args(["-name", "libfaketimeMT.so.1"]).output().unwrap();
    Some(PathBuf::from(String::from_utf8(found.stdout).unwrap().trim()))
}

/// A table takes no commit from long before its last one, so the clock is not set back once it has been ahead.
#[test]
fn a_clock_that_jumps_changes_no_row() {
    let Some(library) = other_clock() else { return };
    let mut trial = Trial::new(6);
    let offset = trial.path().join("offset");
    trial.environment = vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    fs::write(&offset, "+0\n").unwrap();
    let mut running = trial.starts(&["run", "--workers", "2"]);
    for seconds in OFFSETS {
        fs::write(&offset, format!("{seconds:+}\n")).unwrap();
        for _ in 0..3 {
            for topic in ["messages", "reports"] {
                let lines = trial.payloads(topic, 40, now() + seconds * SECOND);
                let file = trial.path().join(format!("{topic}.jsonl"));
                fs::write(&file, lines.join("\n") + "\n").unwrap();
                let published = trial.starts(&["publish", topic, file.to_str().unwrap()]).ended(RUN).unwrap();
                assert_eq!(published.code, Some(0), "{}", published.told);
            }
            pause(SECOND / 2);
        }
        assert!(running.ended(0).is_none(), "the job ended at {seconds} s: {}", running.told());
    }
    running.interrupt();
    let ended = running.ended(RUN).expect("it ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    trial.finish("a clock that jumps");
}
