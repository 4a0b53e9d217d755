//! `jobs`, `savepoint`, `stop` and `resume` beside the real program, which is killed on its way.

use crate::kills::{BURST, RUN, Trial};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::machine::{SECOND, now, pause};
use tests::{Program, riverrun};

/// Connects to a running job once it listens. What a run that was killed has left refuses that.
fn connected(socket: &Path, running: &mut Program) -> UnixStream {
    let begun = now();
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            return stream;
        }
        if let Some(ended) = running.ended(0) {
            panic!("the job ended by itself: {}", ended.told);
        }
        assert!(now() < begun + RUN, "the job does not listen: {}", running.told());
        pause(SECOND / 100);
    }
}

/// What a command prints for programs, which is to be a success.
pub fn printed(project: &Path, arguments: &[&str]) -> String {
    let output = Command::new(riverrun()).arg("--project").arg(project).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn job(project: &Path) -> Value {
    // The line of the archive is the last one.
    let told = printed(project, &["jobs", "--json"]);
    serde_json::from_str(told.lines().next().expect("the job has run")).unwrap()
}

impl Trial {
    fn socket(&self) -> PathBuf {
        self.project("dev").checkpoints_path(None).join("control")
    }

    /// Runs the job until it listens.
    pub fn listening(&mut self, arguments: &[&str]) -> Program {
        let mut running = Program::start(self.path(), arguments);
        connected(&self.socket(), &mut running);
        running
    }

    /// Ends the run with a savepoint, which is the folder that is printed.
    fn stop(&self, mut running: Program) -> PathBuf {
        let told: Value = serde_json::from_str(&printed(self.path(), &["stop", "--json"])).unwrap();
        let ended = running.ended(RUN).expect("it ends");
        assert_eq!(ended.code, Some(0), "{}", ended.told);
        let folder = PathBuf::from(told["savepoint"]["folder"].as_str().unwrap());
        assert!(
            ended.told.contains("savepoint of checkpoint") && ended.told.contains("riverrun stop"),
            "{}",
            ended.told
        );
        folder
    }
}

/// Rows came twice where each run named what all runs before had committed, and the table knew the oldest no more.
#[test]
fn runs_that_commit_once_at_their_end_name_nothing_that_earlier_runs_committed() {
    let mut trial = Trial::new(9);
    let folder = trial.project("dev").checkpoints_path(None);
    for run in 0..5 {
        trial.publish(BURST);
        printed(trial.path(), &["run", "--until-caught-up", "--workers", "1"]);
        let newest = checkpoint::look(&folder).unwrap().expect("the run has put a checkpoint");
        let pending: Vec<usize> = newest.outputs.iter().map(|output| output.pending.len()).collect();
        assert!(pending.iter().all(|&pending| pending <= 1), "run {run}: {pending:?} are pending");
    }
}

fn trial(seed: u64) {
    let mut trial = Trial::new(seed);
    let mut running = trial.listening(&["run", "--workers", "2"]);
    trial.publish(BURST);
    let shown = job(trial.path());
    assert_eq!(shown["state"], "running", "{shown}");
    assert_eq!(shown["running"]["process"], running.id(), "{shown}");
    assert_eq!(shown["running"]["workers"], 2, "{shown}");
    // Killed while it makes a savepoint: that is there whole, or not at all.
    let mut savepoint = Program::start(trial.path(), &["savepoint"]);
    pause(trial.chance.between(0, 120_000));
    running.signal("KILL");
    running.ended(RUN).expect("it ends");
    savepoint.ended(RUN).expect("whoever has asked is told");
    let shown = job(trial.path());
    assert_ne!(shown["state"], "running", "{shown}");
    for saved in shown["savepoints"].as_array().unwrap() {
        assert!(saved["error"].is_null(), "seed {seed}: {saved}");
    }
    let running = trial.listening(&["run", "--workers", "3"]);
    trial.publish(BURST);
    let folder = trial.stop(running);
    assert_eq!(job(trial.path())["state"], "ended");
    trial.publish(BURST);
    // Killed while it begins from the savepoint; one that came further has left tables that the savepoint does not fit.
    let from = folder.to_str().unwrap();
    for workers in ["1", "5"] {
        let mut resumed = Program::start(trial.path(), &["resume", "--from", from, "--workers", workers]);
        pause(trial.chance.between(0, 500_000));
        if let Some(ended) = resumed.ended(0) {
            assert!(ended.told.contains("is ahead of the checkpoint"), "seed {seed}: {}", ended.told);
            continue;
        }
        resumed.signal("KILL");
        resumed.ended(RUN).expect("it ends");
    }
    // Silence has let no row out then that the end of a run does not.
    trial.publish(BURST);
    trial.finish(&format!("seed {seed}"));
    let shown = job(trial.path());
    let rows = &shown["checkpoint"]["rows"];
    assert!(rows["streams"]["messages"]["in"].is_i64() && rows["outputs"]["lake.counted"]["out"].is_i64(), "{shown}");
    let text = printed(trial.path(), &["jobs"]);
    assert!(text.contains("rows read") && text.contains("lake.counted "), "{text}");
}

#[test]
fn a_job_that_is_killed_over_savepoints_gives_each_row_once() {
    let trials = std::env::var("LASTS_KILLS").map_or(3, |seeds| seeds.parse().unwrap());
    (0..trials).for_each(trial);
}

/// Waits until a run has taken the lock of the checkpoints.
fn held_by(folder: &Path, running: &mut Program) {
    let begun = now();
    while checkpoint::holder(folder).is_none_or(|holder| holder.process != running.id()) {
        assert!(running.ended(0).is_none() && now() < begun + RUN, "it does not start: {}", running.told());
        pause(SECOND / 1000);
    }
}

#[test]
fn a_job_that_is_starting_is_waited_for_and_no_command_says_that_it_does_not_run() {
    let mut trial = Trial::new(5);
    let first = trial.listening(&["run", "--workers", "1"]);
    trial.stop(first);
    let folder = trial.project("dev").checkpoints_path(None);
    let mut starting = Program::start(trial.path(), &["run", "--workers", "1"]);
    held_by(&folder, &mut starting);
    printed(trial.path(), &["savepoint"]);
    trial.stop(starting);
    let mut starting = Program::start(trial.path(), &["run", "--workers", "1"]);
    held_by(&folder, &mut starting);
    trial.stop(starting);
}

#[test]
fn a_job_that_holds_its_checkpoints_and_does_not_answer_is_told_to_be_asked_again() {
    let mut trial = Trial::new(6);
    let first = trial.listening(&["run", "--workers", "1"]);
    trial.stop(first);
    let folder = trial.project("dev").checkpoints_path(None);
    let lock = std::fs::File::open(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let asked = |command: &str| Program::start(trial.path(), &[command]);
    let commands = ["stop", "savepoint"].map(asked);
    for mut command in commands {
        let ended = command.ended(RUN).expect("it ends");
        let told = ended.told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(ended.code, Some(1), "{told}");
        assert!(told.contains("is held by a run that does not answer: it is starting or ending, ask again"), "{told}");
    }
    let mut stop = asked("stop");
    pause(SECOND / 2);
    lock.unlock().unwrap();
    let told = stop.ended(RUN).expect("it ends").told;
    assert!(told.contains("does not run here"), "{told}");
    printed(trial.path(), &["savepoint"]);
}

/// Says something to a job, and hears what it answers first.
fn said(socket: &Path, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // It may have heard enough before all was said.
    let _ = stream.write_all(line);
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[test]
fn nothing_that_is_said_to_a_job_costs_it_more_than_an_answer() {
    let mut trial = Trial::new(77);
    let mut running = trial.listening(&["run"]);
    let socket = trial.socket();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    for (line, why) in [
        (&b"\xff\xfe\n"[..], "no JSON"),
        (b"{\"version\":7,\"ask\":\"status\"}\n", "version 7 is asked"),
        (b"{\"version\":1,\"ask\":\"explode\"}\n", "explode is asked"),
        (&[b'x'; 100_000], "has no end within 65536 bytes"),
        (b"{\"version\":1,\"ask\":\"savepoint\",\"to\":\"/proc/none/of/ours\"}\n", "/proc/none"),
        (b"{\"version\":1,\"ask\":\"status\"}\n", "\"streams\""),
    ] {
        let answer = said(&socket, line);
        assert!(answer.contains(why), "{}: {answer}", String::from_utf8_lossy(line));
    }
    // Whoever says nothing is let go of, so that others come to their turn.
    let silent: Vec<UnixStream> = (0..60).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let begun = now();
    while !said(&socket, b"{\"version\":1,\"ask\":\"status\"}\n").contains("\"streams\"") {
        assert!(now() < begun + RUN, "nobody is answered any more");
        pause(SECOND / 10);
    }
    drop(silent);
    assert!(running.ended(0).is_none());
    // The pages say that Ctrl-C is the same.
    assert!(!printed(trial.path(), &["stop", "--no-savepoint", "--json"]).is_empty());
    assert_eq!(running.ended(RUN).expect("it ends").code, Some(0));
    assert!(!socket.exists());
    trial.publish(BURST);
    trial.finish("a job that was asked much");
}

#[test]
fn a_process_that_stands_still_keeps_nobody_waiting() {
    let mut trial = Trial::new(78);
    let mut running = trial.listening(&["run"]);
    running.signal("STOP");
    for command in ["savepoint", "stop"] {
        let mut asking = Program::start(trial.path(), &[command]);
        let ended = asking.ended(RUN).expect("it does not wait for ever");
        // What it says may still be on its way here.
        let begun = now();
        while !asking.told().contains("SIGSTOP") && now() < begun + RUN {
            pause(SECOND / 100);
        }
        assert!(ended.code == Some(1), "{command}: {:?}", ended.code);
        assert!(asking.told().contains("SIGSTOP"), "{command}: {}", asking.told());
    }
    running.signal("CONT");
    assert!(!printed(trial.path(), &["savepoint"]).is_empty());
    assert!(!printed(trial.path(), &["stop", "--no-savepoint", "--json"]).is_empty());
    assert_eq!(running.ended(RUN).expect("it ends").code, Some(0));
}

#[test]
fn a_job_in_a_folder_with_a_long_path_is_asked_like_any_other() {
    let outer = tempfile::tempdir().unwrap();
    let project = outer.path().join("a-folder-with-a-long-name/".repeat(6));
    std::fs::create_dir_all(project.join("pipelines")).unwrap();
    std::fs::write(project.join("riverrun.toml"), "[project]\nname = \"far\"\n").unwrap();
    let sql =
        "CREATE STREAM m (id TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE m;\nINSERT INTO lake.t SELECT * FROM m;";
    std::fs::write(project.join("pipelines/all.sql"), sql).unwrap();
    let mut running = Program::start(&project, &["run"]);
    let begun = now();
    // Through the folder, as the system takes no path that is so long.
    while job_of(&project)["state"] != "running" {
        assert!(running.ended(0).is_none() && now() < begun + RUN, "{}", running.told());
        pause(SECOND / 20);
    }
    assert!(printed(&project, &["stop"]).contains("savepoints/project/"));
    assert_eq!(running.ended(RUN).expect("it ends").code, Some(0));
}

/// How a job is shown, if it is.
fn job_of(project: &Path) -> Value {
    let told = printed(project, &["jobs", "--json"]);
    told.lines().next().map_or(Value::Null, |line| serde_json::from_str(line).unwrap())
}
