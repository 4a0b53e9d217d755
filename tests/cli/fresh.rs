//! `run --fresh`: what an earlier run has written is there until the new one is whole.

use crate::folder::{Folder, Ran};
use connector_iceberg::Warehouse;
use std::process::{Command, Stdio};
use tests::machine::{SECOND, now, pause};
use tests::{Chance, Program};

const ROWS: usize = 30_000;

/// A project that writes two tables of a file.
fn project(rows: usize) -> Folder {
    let folder = Folder::empty();
    let sql = "CREATE STREAM events (id BIGINT, noise BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'events.csv';\n\
               INSERT INTO lake.ids SELECT id FROM events;\nINSERT INTO lake.twice SELECT noise FROM events;\n";
    folder.write("pipelines/events.sql", sql);
    write_events(&folder, rows);
    folder
}

fn write_events(folder: &Folder, rows: usize) {
    // Numbers that take their room on a disk, however they are packed.
    let mut chance = Chance::new(1);
    let row = |id: usize| {
        let noise = chance.number() >> 2;
        format!("{id},{noise},2026-01-01 {:02}:{:02}:{:02}\n", id / 3600 % 24, id / 60 % 60, id % 60)
    };
    folder.write("events.csv", &format!("id,noise,at\n{}", (0..rows).map(row).collect::<String>()));
}

/// How many rows the tables have.
fn rows(folder: &Folder) -> [u64; 2] {
    let warehouse = Warehouse::open(&folder.path().join("warehouse")).expect("the warehouse opens");
    ["lake.ids", "lake.twice"].map(|table| warehouse.rows(table).expect("the table is there"))
}

/// The folders of a table beside that of its first one.
fn folders(folder: &Folder) -> usize {
    let names = folder.files();
    names.iter().filter(|name| name.starts_with("warehouse/lake/ids/") && name.ends_with("/metadata/")).count()
}

#[test]
fn a_run_that_is_killed_or_stopped_leaves_what_it_was_to_replace() {
    let folder = project(100);
    folder.done(&["run"]);
    write_events(&folder, ROWS);
    let begun = now();
    folder.done(&["run", "--fresh", "--workers", "2"]);
    let whole = now() - begun;
    let mut sizes = [ROWS as u64; 2];
    let (mut chance, mut ended, mut early) = (Chance::new(3), 1, 0);
    for round in 1..17 {
        let all = [(ROWS + round) as u64; 2];
        write_events(&folder, ROWS + round);
        let mut command = folder.command(&["run", "--fresh", "--workers", "2"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command starts");
        pause(chance.between(whole / 20, whole + whole / 4));
        if round % 2 == 0 {
            let _ = child.kill();
        } else {
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        }
        let status = child.wait().expect("the process is ours");
        let there = rows(&folder);
        assert!(there == sizes || there == all, "{there:?} rows, which are neither {sizes:?} nor {all:?}: {status}");
        assert!(status.code() != Some(0) || there == all, "it has ended well, and nothing is new");
        (ended, early) = (ended + usize::from(there == all), early + usize::from(there == sizes));
        sizes = there;
    }
    assert!(early > 0, "none of {ended} runs was ended on its way");
    folder.done(&["run", "--fresh"]);
    assert_eq!(rows(&folder), [(ROWS + 16) as u64; 2]);
    // What runs left that were killed is gone; replaced tables stay for their readers.
    assert!(folders(&folder) <= ended + 2, "{} folders after {ended} runs that ended", folders(&folder));
}

#[test]
fn a_run_that_fails_leaves_what_it_was_to_replace_and_its_hint_works() {
    let folder = project(100);
    folder.done(&["run"]);
    write_events(&folder, ROWS);
    for kib in [20, 40, 60] {
        let mut shell = Command::new("bash");
        let line = format!("ulimit -f {kib}; exec \"$0\" \"$@\"");
        shell.args(["-c", &line]).arg(tests::riverrun()).args(["run", "--fresh", "--workers", "1"]);
        folder.here(&mut shell);
        let ran: Ran = folder.ran(&shell.output().expect("the shell starts"));
        assert_eq!((ran.code, rows(&folder)), (1, [100; 2]), "{}", ran.err);
        assert!(ran.err.contains("`ulimit -f`"), "{}", ran.err);
        // Where the catalog takes nothing any more, what was written stays for the next run to clear away.
        assert!(folders(&folder) <= 2);
    }
    // A row that is wrong ends a run as well.
    folder.replace("events.csv", "\n77,", "\nmany,");
    let ran = folder.run(&["run", "--fresh"]);
    assert_eq!((ran.code, rows(&folder)), (1, [100; 2]), "{}", ran.err);
    assert!(folders(&folder) <= 2, "a run that fails leaves the tables that it would go on with");
    folder.replace("events.csv", "\nmany,", "\n77,");
    folder.done(&["run", "--fresh"]);
    assert_eq!(rows(&folder), [ROWS as u64; 2]);
}

#[test]
fn the_hint_of_a_run_that_has_begun_is_to_run_it_again_and_that_works() {
    let folder = project(ROWS);
    let mut shell = Command::new("bash");
    let line = "ulimit -f 40; exec \"$0\" \"$@\"";
    shell.args(["-c", line]).arg(tests::riverrun()).args(["run", "--workers", "1"]);
    folder.here(&mut shell);
    let ran = folder.ran(&shell.output().expect("the shell starts"));
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("run the command again: it goes on"), "{}", ran.err);
    folder.done(&["run"]);
    assert_eq!(rows(&folder), [ROWS as u64; 2]);
}

#[test]
fn a_job_without_end_replaces_its_tables_with_its_first_commit() {
    const SQL: &str = "\
CREATE STREAM plays (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at QUIET AFTER INTERVAL '1' SECOND) LIVE plays;
INSERT INTO lake.ids SELECT user_id FROM plays;
INSERT INTO lake.twice SELECT user_id * 2 AS user_id FROM plays WHERE user_id < 2;
";
    let folder = Folder::empty();
    let play = |n: usize| format!("{{\"user_id\": {n}, \"at\": \"2026-01-01T08:00:{n:02}Z\"}}\n");
    folder.write("pipelines/plays.sql", SQL).write("plays.jsonl", &(0..5).map(play).collect::<String>());
    folder.done(&["publish", "plays", "plays.jsonl"]);
    folder.done(&["run", "--until-caught-up"]);
    let before = rows(&folder);
    assert_eq!(before, [5, 2]);
    let mut program = Program::start(&folder.path(), &["run", "--fresh", "--commit-every", "3s", "--workers", "2"]);
    program.ready();
    let mut seen = vec![before];
    let begun = now();
    folder.write("more.jsonl", &play(7)).done(&["publish", "plays", "more.jsonl"]);
    while rows(&folder) != [6, 2] {
        let there = rows(&folder);
        if seen.last() != Some(&there) {
            seen.push(there);
        }
        assert!(now() < begun + 40 * SECOND, "{seen:?}\n{}", program.told());
        pause(SECOND / 50);
    }
    // With its first commit a table may have what is not all yet, and never nothing while there was something.
    assert!(seen.iter().all(|[ids, _]| *ids > 0), "{seen:?}");
    program.interrupt();
    let ended = program.ended(20 * SECOND).expect("it ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert_eq!(rows(&folder), [6, 2]);
}

#[test]
fn a_summary_says_that_a_topic_keeps_the_messages_of_earlier_runs() {
    let folder = Folder::demo();
    let first = folder.done(&["run"]);
    assert!(!first.err.contains("earlier runs"), "{}", first.err);
    for epoch in 2..4 {
        let again = folder.done(&["run", "--fresh"]);
        let told = format!("topic actions keeps the messages of earlier runs: those of this run have epoch {epoch}\n");
        assert!(again.err.contains(&told), "{}", again.err);
    }
    let tail = folder.done(&["tail", "actions", "--from-start", "--until-caught-up", "--json"]);
    let of_epoch = |epoch: u64| tail.out.lines().filter(|line| line.contains(&format!("\"epoch\":{epoch},"))).count();
    assert!(of_epoch(1) > 0 && of_epoch(2) == of_epoch(1) && of_epoch(3) == of_epoch(1), "{}", tail.out);
}
