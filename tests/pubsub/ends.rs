//! Commands that copy a subscription beside their work, or wait for a topic: how they begin and end.

use crate::folder::{Folder, RUN};
use crate::server::{Server, told, told_by, wait_until_told};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use tests::Program;
use tests::machine::{SECOND, now, pause};

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER) LIVE m;
INSERT INTO TOPIC n SELECT * FROM m;
";
const PLACES: &str = r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#;
const PRODUCER: &str = "pubsub:projects/p/subscriptions/m";

fn message(id: usize) -> (String, String) {
    (json!({ "id": id, "at": "2026-01-01 00:00:00" }).to_string(), String::new())
}

/// Keeps everyone from appending, as a process that was stopped while it appends does.
fn locked(folder: &Folder) -> File {
    let lock = File::options().read(true).write(true).open(folder.partition().join("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_run_that_ends_while_another_process_has_the_lock_says_so_and_hears_ctrl_c() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &[message(0)]);
    let mut run = server.begin(folder.path(), &["run"]);
    folder.wait_for(1, RUN);
    let lock = locked(&folder);
    server.publish("p", "m", &[message(1)]);
    pause(2 * SECOND);
    run.interrupt();
    wait_until_told(&run, "all else is done, and the mirror of subscription projects/p/subscriptions/m is waited for");
    assert!(told_by(&run).contains("messages are held, since topic m does not take them"), "{}", run.told());
    run.interrupt();
    let ended = run.ended(5 * SECOND).expect("Ctrl-C ends it at once");
    assert_eq!(ended.code, Some(130), "{}", ended.told);
    drop(lock);
    // What it held comes again.
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "2s"]);
    assert_eq!(folder.messages(), 2);
}

#[test]
fn who_cannot_begin_since_another_process_has_the_lock_says_so_and_ends_when_asked() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, PLACES);
    folder.topics().create("m", 1).unwrap();
    let lock = locked(&folder);
    let held = "another process has held";
    for (command, what) in [
        (&["run"][..], "is not copied into topic m by this process"),
        (&["tail", "m"], "is not copied into topic m by this process"),
        (&["pubsub", "mirror", "m"], "messages are held, since topic m does not take them"),
    ] {
        let mut program = server.begin(folder.path(), command);
        wait_until_told(&program, what);
        assert!(told_by(&program).contains(held), "{command:?}: {}", program.told());
        if command[0] == "tail" {
            wait_until_told(&program, "waiting for messages on topic m");
        }
        program.interrupt();
        let ended = program.ended(40 * SECOND).expect("it ends while another process has the lock");
        // A command that has not begun yet is ended by the signal itself.
        assert!(matches!(ended.code, Some(0) | None), "{command:?}: {}", ended.told);
    }
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    wait_until_told(&mirror, held);
    drop(lock);
    server.publish("p", "m", &[message(0)]);
    folder.wait_for(1, RUN);
    mirror.interrupt();
    let ended = mirror.ended(RUN).expect("it ends");
    assert!(
        ended.code == Some(0) && told_by(&mirror).contains("has taken the messages that were held"),
        "{}",
        ended.told
    );
}

/// As in `riverrun tail m | head -1`, where nothing comes after the first line.
#[test]
fn a_tail_that_nobody_reads_any_more_ends_and_lets_go_of_the_mirror() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &[message(0)]);
    let mut tail = server.command(folder.path(), &["tail", "m", "--from-start"]);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(tail.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("\"id\":0"), "{line}");
    pause(SECOND);
    assert!(tail.try_wait().unwrap().is_none(), "it waits for more");
    let gone = now();
    drop(out);
    while tail.try_wait().unwrap().is_none() {
        assert!(now() < gone + 15 * SECOND, "nobody reads it, and it goes on");
        pause(SECOND / 20);
    }
    let ended = tail.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", told(&ended));
    folder.topics().claim("m", PRODUCER).expect("the mirror is free");
}

/// A disk that takes nothing is waited for at the beginning as it is later.
#[test]
fn a_mirror_that_begins_on_a_full_disk_waits_for_room() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &[message(0)]);
    let mirror = server.command(folder.path(), &["pubsub", "mirror", "m"]);
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -S -f 0; exec \"$0\" \"$@\""]).arg(mirror.get_program()).args(mirror.get_args());
    shell.env("PUBSUB_EMULATOR_HOST", &server.address).current_dir(folder.path());
    let mut mirror = Program::spawn(shell);
    wait_until_told(&mirror, "messages are held, since topic m does not take them");
    pause(3 * SECOND);
    let said = told_by(&mirror);
    assert!(said.contains("which is tried every second") && said.contains("`ulimit -f`"), "{said}");
    assert_eq!(said.matches("messages are held").count(), 1, "{said}");
    let limit = Command::new("prlimit").args(["--pid", &mirror.id().to_string(), "--fsize=unlimited"]).status();
    assert!(limit.is_ok_and(|set| set.success()), "prlimit is missing");
    folder.wait_for(1, RUN);
    wait_until_told(&mirror, "topic m has taken the messages that were held");
    mirror.interrupt();
    assert_eq!(mirror.ended(RUN).expect("it ends").code, Some(0), "{}", mirror.told());
}
