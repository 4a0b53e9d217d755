//! A stop that is heard by a command which waits: for whoever reads its output, and for a catalog that is locked.

use crate::folder::{Folder, Ran};
use crate::wrong::plays;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use tests::machine::{SECOND, now, pause};

/// How long a command may take to hear of a signal, on a machine that does much else.
const HEARD: i64 = 30 * SECOND;

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "it has ended by itself");
}

/// What became of a command that has to end now.
fn ended(folder: &Folder, mut child: Child) -> Ran {
    let begun = now();
    while child.try_wait().expect("the process is ours").is_none() {
        if now() > begun + HEARD {
            let _ = child.kill();
            panic!("it does not hear that it is to stop");
        }
        pause(SECOND / 50);
    }
    folder.ran(&child.wait_with_output().expect("the process is ours"))
}

#[test]
fn a_query_that_nobody_reads_ends_at_the_first_signal() {
    let folder = plays();
    let row = |n: u32| format!("{{\"user_id\": {n}, \"track\": \"a track\", \"at\": \"2026-01-01T00:00:00Z\"}}\n");
    folder.write("plays.jsonl", &(0..20_000).map(row).collect::<String>());
    folder.done(&["publish", "plays", "plays.jsonl"]);
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        for form in ["--json", "--csv"] {
            let mut command = folder.command(&["query", "SELECT * FROM plays", form]);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
            // It has begun to write, and there is more than a pipe holds.
            let mut first = [0];
            child.stdout.as_mut().expect("it is piped").read_exact(&mut first).expect("rows come");
            let out = child.stdout.take();
            signal(&child, name);
            let ran = ended(&folder, child);
            assert_eq!(ran.code, code, "{name} {form}: {}", ran.err);
            drop(out);
        }
    }
}

#[test]
fn a_job_whose_commit_waits_for_a_catalog_hears_that_it_is_to_stop() {
    let folder = plays();
    let sql = "CREATE STREAM plays (user_id BIGINT, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) \
               HISTORY raw.plays LIVE plays;\nARCHIVE plays;\nINSERT INTO lake.plays SELECT * FROM plays;\n";
    folder.write("pipelines/plays.sql", sql);
    folder.done(&["publish", "plays", "plays.jsonl"]);
    folder.done(&["run", "archive", "--until-caught-up"]);
    let (waits, told) = ("waits to be committed", "when the job was asked to end");
    let archive_waits = "waiting for";
    for (job, waits, told) in [("", waits, told), ("archive", archive_waits, "its files are kept")] {
        let mut arguments = vec!["run"];
        arguments.extend(Some(job).filter(|job| !job.is_empty()));
        arguments.extend(["--commit-every", "100ms"]);
        let mut child =
            folder.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let catalog = rusqlite::Connection::open(folder.path().join("warehouse/catalog.db")).expect("it is there");
        // What it begins with is committed before the catalog is locked.
        pause(SECOND);
        catalog.execute_batch("BEGIN EXCLUSIVE").expect("nobody else has it");
        folder.done(&["publish", "plays", "plays.jsonl"]);
        let mut all = String::new();
        for line in lines.by_ref() {
            let line = line.expect("it is text");
            all += &format!("{line}\n");
            if line.contains(waits) {
                break;
            }
        }
        assert!(all.contains(waits), "{all}");
        signal(&child, "INT");
        let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
        let ran = ended(&folder, child);
        all += &rest.join().expect("it reads");
        assert_eq!(ran.code, 1, "{all}");
        assert!(all.contains(told) && all.contains("locked by another process"), "{all}");
        catalog.execute_batch("ROLLBACK").expect("it is ours");
        arguments.push("--until-caught-up");
        folder.done(&arguments);
    }
    let rows = folder.done(&["query", "SELECT count(*) FROM lake.plays", "--csv"]).out;
    let archived = folder.done(&["query", "SELECT count(*) FROM raw.plays", "--csv"]).out;
    assert_eq!((rows.lines().last(), archived.lines().last()), (Some("6"), Some("9")), "each row once");
}
