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

#[test]
fn two_signals_end_a_job_of_which_nobody_reads_what_it_says() {
    let folder = plays();
    folder.done(&["publish", "plays", "plays.jsonl"]);
    let sql = "CREATE STREAM plays (user_id BIGINT, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;\n\
               INSERT INTO lake.plays SELECT * FROM plays;\n";
    folder.write("pipelines/plays.sql", sql);
    let (read, mut write) = std::io::pipe().expect("a pipe can be made");
    let of_child = write.try_clone().expect("a pipe has several ends");
    let mut command = folder.command(&["run", "--commit-every", "100ms"]);
    let child = command.stdout(Stdio::null()).stderr(of_child).spawn().expect("it starts");
    drop(command);
    // It has committed, and so listens for signals by now.
    let begun = now();
    while folder.run(&["query", "SELECT count(*) FROM lake.plays", "--csv"]).out.lines().nth(1) != Some("3") {
        assert!(now() < begun + HEARD, "it commits nothing");
        pause(SECOND / 10);
    }
    let full = std::thread::spawn(move || {
        // Ends when the pipe has no end to read from any more.
        let _ = std::io::Write::write_all(&mut write, &vec![b'x'; 4 << 20]);
    });
    pause(SECOND / 2);
    signal(&child, "INT");
    pause(SECOND);
    signal(&child, "INT");
    let ran = ended(&folder, child);
    assert_eq!(ran.code, 130, "{}", ran.err);
    drop(read);
    full.join().expect("it writes");
}

#[test]
fn a_job_that_is_stopped_before_its_first_row_says_that_alone() {
    let folder = plays();
    let sql = "CREATE STREAM plays (user_id BIGINT, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;\n\
               INSERT INTO lake.plays SELECT * FROM plays;\n";
    folder.write("pipelines/plays.sql", sql);
    let mut command = folder.command(&["run"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let begun = now();
    // It listens for signals before it writes its first checkpoint.
    let checkpoints = folder.path().join("warehouse/_riverrun/checkpoints/project");
    let is_manifest = |name: &str| name.starts_with("manifest-");
    let names = || std::fs::read_dir(&checkpoints).into_iter().flatten().flatten().map(|entry| entry.file_name());
    while !names().any(|name| is_manifest(&name.to_string_lossy())) {
        assert!(now() < begun + HEARD, "it takes no checkpoint");
        pause(SECOND / 20);
    }
    signal(&child, "INT");
    let ran = ended(&folder, child);
    let told = "the run was stopped before a row of stream plays was used";
    assert!(ran.err.contains(told) && !ran.err.contains("nothing was read"), "{}", ran.err);
}
