//! A disk that is full: the job says so, and runs once there is room.

use crate::folder::{Folder, Ran};
use crate::wrong::plays;
use std::path::Path;
use std::process::Command;
use tests::machine::{SECOND, now};

/// A file system of a fixed size at a folder, for as long as it lives.
struct Small<'a> {
    folder: &'a Path,
}

impl Small<'_> {
    /// `None` where this user may not mount one.
    fn at(folder: &Path, kib: usize) -> Option<Small<'_>> {
        std::fs::create_dir_all(folder).expect("the folder can be made");
        let mounted = mount(folder, &format!("size={kib}k"));
        mounted.then_some(Small { folder })
    }

    /// Lets nobody write to it any more.
    fn protect(&self) {
        assert!(mount(self.folder, "remount,ro"), "the file system can be made read-only");
    }

    /// Makes it larger.
    fn grow(&self, kib: usize) {
        assert!(mount(self.folder, &format!("remount,size={kib}k")), "the file system can grow");
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder).status();
    }
}

fn mount(folder: &Path, options: &str) -> bool {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "riverrun-test"]).arg(folder).output();
    mounted.is_ok_and(|output| output.status.success())
}

/// Runs a command that may write no file larger than so many KiB.
fn with_small_files(folder: &Folder, kib: usize, arguments: &[&str]) -> Ran {
    in_shell(folder, &format!("ulimit -f {kib}; exec \"$0\" \"$@\""), arguments)
}

/// Runs a command as a line of a shell in which it is `"$0" "$@"`.
fn in_shell(folder: &Folder, line: &str, arguments: &[&str]) -> Ran {
    let mut shell = Command::new("bash");
    shell.args(["-c", line]).arg(tests::riverrun()).args(arguments);
    folder.here(&mut shell);
    folder.ran(&shell.output().expect("the shell starts"))
}

/// Runs a command while a folder of the project has room for so many KiB only; then gives it room.
fn with_full_disk(folder: &Folder, part: &str, kib: usize, arguments: &[&str], then: impl FnOnce(&Ran)) {
    let path = folder.path().join(part);
    match Small::at(&path, kib) {
        Some(small) => {
            let ran = folder.run(arguments);
            small.grow(64 << 10);
            then(&ran);
            settled(folder);
        }
        None => {
            eprintln!("this user may not mount: the limit of a file's size stands for a full disk");
            then(&with_small_files(folder, kib, arguments));
            settled(folder);
        }
    }
}

/// With room, a fresh run gives every row once.
fn settled(folder: &Folder) {
    folder.done(&["run", "--fresh", "--until-caught-up"]);
    let actions = folder.done(&["tail", "actions", "--from-start", "--until-caught-up", "--json"]).out;
    let last = actions.lines().rev().find_map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).ok()?;
        row["epoch"].as_u64()
    });
    let of_last = actions.lines().filter(|line| line.contains(&format!("\"epoch\":{},", last.unwrap_or(0)))).count();
    assert_eq!(of_last, 57, "all actions under the last epoch");
    assert_eq!(rows_of(folder, "lake.sender_features"), 1682);
    assert_eq!(rows_of(folder, "dm_spam__log"), 1682);
}

/// The rows of a table, which nothing but the catalog and its files say.
fn rows_of(folder: &Folder, table: &str) -> u64 {
    let warehouse = connector_iceberg::Warehouse::open(&folder.path().join("warehouse")).expect("the warehouse opens");
    warehouse.rows(table).expect("the table is there")
}

/// The play of a second, as a line of a file.
fn play(n: u32) -> String {
    let at = format!("2026-01-01T{:02}:{:02}:{:02}Z", n / 3600, n / 60 % 60, n % 60);
    format!("{{\"user_id\": {n}, \"track\": \"a\", \"at\": \"{at}\"}}\n")
}

/// One clear error that says what is full, without a bug report and without a panic.
fn clear(ran: &Ran, part: &str) {
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert_eq!(ran.err.matches("error:").count(), 1, "{}", ran.err);
    let said = ["the disk is full, free some space", "`ulimit -f`"];
    assert!(said.iter().any(|full| ran.err.contains(full)), "{}", ran.err);
    assert!(ran.err.contains(part), "it does not say where: {}", ran.err);
    assert!(!ran.err.contains("bug") && !ran.err.contains("panicked"), "{}", ran.err);
}

/// The demo, with its checkpoints in a folder of their own.
fn with_checkpoints_apart() -> Folder {
    let folder = Folder::demo();
    let toml = std::fs::read_to_string(folder.path().join("riverrun.toml")).expect("it is there");
    folder.write("riverrun.toml", &format!("{toml}checkpoints = \"./kept\"\n"));
    folder
}

/// How long a command takes that waits for nothing, on a machine that does much else.
const AT_ONCE: i64 = 60 * SECOND;

#[test]
fn checkpoints_without_room_end_the_job_at_once() {
    let folder = with_checkpoints_apart();
    let begun = now();
    let path = folder.path().join("kept");
    let Some(small) = Small::at(&path, 16) else {
        clear(&with_small_files(&folder, 2, &["run"]), "kept");
        return;
    };
    let ran = folder.run(&["run"]);
    clear(&ran, "kept/");
    assert!(now() < begun + AT_ONCE, "it waited for room: {}", ran.err);
    assert!(ran.err.contains(" bytes to ") && ran.err.contains("run the command again"), "{}", ran.err);
    small.grow(64 << 10);
    folder.done(&["run"]);
    assert_eq!(rows_of(&folder, "lake.sender_features"), 1682);
}

#[test]
fn a_savepoint_without_room_is_said_and_the_checkpoints_stay() {
    let folder = Folder::demo();
    folder.done(&["run"]);
    let path = folder.path().join("saved");
    let Some(small) = Small::at(&path, 4) else { return };
    let ran = folder.run(&["savepoint", "--to", "saved/first"]);
    clear(&ran, "saved/");
    small.grow(64 << 10);
    folder.done(&["savepoint", "--to", "saved/second"]);
}

#[test]
fn a_file_system_that_nobody_may_write_to_is_said_at_once() {
    for (part, kept) in [("kept", "kept/"), ("warehouse", "warehouse/"), ("topics", "topics/")] {
        let folder = with_checkpoints_apart();
        folder.done(&["run"]);
        folder.replace("pipelines/spam.sql", "msgs_1m > 20", "msgs_1m > 19");
        let path = folder.path().join(part);
        let moved = folder.path().join("moved");
        std::fs::rename(&path, &moved).expect("it is there");
        let Some(small) = Small::at(&path, 64 << 10) else { return };
        let copied = Command::new("cp").args(["-a", "moved/.", part]).current_dir(folder.path()).status();
        assert!(copied.is_ok_and(|status| status.success()));
        small.protect();
        let begun = now();
        let ran = folder.run(&["run", "--fresh"]);
        assert_eq!(ran.code, 1, "{part}: {}{}", ran.out, ran.err);
        assert!(now() < begun + AT_ONCE, "{part}: it waited: {}", ran.err);
        let said = ["the file system is read-only, make it writable", "read-only for this user"];
        assert!(said.iter().any(|why| ran.err.contains(why)) && ran.err.contains(kept), "{part}: {}", ran.err);
        assert!(!ran.err.contains("bug") && !ran.err.contains("panicked"), "{part}: {}", ran.err);
    }
}

#[test]
fn a_topic_that_no_disk_takes_is_an_error_of_who_publishes() {
    let folder = plays();
    let path = folder.path().join("topics");
    let Some(small) = Small::at(&path, 64) else { return };
    small.protect();
    let ran = folder.run(&["publish", "plays", "plays.jsonl"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("the file system is read-only") && ran.err.contains("topics"), "{}", ran.err);
}

#[test]
fn a_full_warehouse_is_said_and_nothing_is_half_done() {
    for kib in [16, 64, 128] {
        let folder = Folder::demo();
        with_full_disk(&folder, "warehouse", kib, &["run"], |ran| clear(ran, "warehouse"));
    }
}

#[test]
fn a_full_disk_under_the_topics_is_said_and_nothing_is_half_done() {
    let folder = Folder::demo();
    with_full_disk(&folder, "topics", 8, &["run"], |ran| clear(ran, "topic"));
}

#[test]
fn a_publisher_on_a_full_disk_can_publish_again() {
    let folder = plays();
    folder.write("plays.jsonl", &(0..4000).map(play).collect::<String>());
    let path = folder.path().join("topics");
    let Some(small) = Small::at(&path, 128) else {
        clear(&with_small_files(&folder, 128, &["publish", "plays", "plays.jsonl"]), "topic");
        return;
    };
    clear(&folder.run(&["publish", "plays", "plays.jsonl"]), "topic");
    let there =
        |folder: &Folder| folder.done(&["tail", "plays", "--from-start", "--until-caught-up"]).out.lines().count();
    let before = there(&folder);
    small.grow(64 << 10);
    assert_eq!(there(&folder), before, "what is on the topic is whole");
    folder.done(&["publish", "plays", "plays.jsonl"]);
    assert_eq!(there(&folder), before + 4000);
}

#[test]
fn a_publisher_that_stops_on_the_way_says_how_many_rows_are_there() {
    let folder = plays();
    folder.write("plays.jsonl", &(0..20_000).map(play).collect::<String>());
    let path = folder.path().join("topics");
    let small = Small::at(&path, 1_200);
    let ran = match &small {
        Some(_) => folder.run(&["publish", "plays", "plays.jsonl"]),
        None => with_small_files(&folder, 1_200, &["publish", "plays", "plays.jsonl"]),
    };
    clear(&ran, "topic plays");
    let there = folder.done(&["tail", "plays", "--from-start", "--until-caught-up"]).out.lines().count();
    assert!(there > 0 && there < 20_000, "{there} messages are there");
    assert!(ran.err.contains(&format!("the first {there} good rows")), "{}", ran.err);
    assert!(!ran.err.contains("nothing was lost"), "running it again puts rows twice: {}", ran.err);
}

#[test]
fn a_file_that_may_not_grow_is_said_as_a_full_disk_is() {
    for (kib, part) in [(0, "catalog.db"), (4, "catalog.db"), (16, "catalog.db"), (24, ".parquet")] {
        let folder = Folder::demo();
        clear(&with_small_files(&folder, kib, &["run", "--workers", "1"]), part);
        settled(&folder);
    }
    let folder = plays();
    folder.write("plays.jsonl", &(0..2000).map(play).collect::<String>());
    clear(&with_small_files(&folder, 16, &["publish", "plays", "plays.jsonl"]), "topics/plays");
    folder.done(&["publish", "plays", "plays.jsonl"]);
    let query = ["query", "SELECT * FROM plays", "--out", "rows.parquet"];
    clear(&with_small_files(&folder, 1, &query), "rows.parquet");
    assert!(!folder.files().iter().any(|file| file.contains("rows.parquet")), "{:?}", folder.files());
    folder.done(&query);
    for (kib, part) in [(0, "new/riverrun.toml"), (8, "new/data/messages.csv")] {
        let folder = Folder::empty();
        clear(&with_small_files(&folder, kib, &["init", "new"]), part);
        assert!(folder.files().is_empty(), "{:?}", folder.files());
        folder.done(&["init", "new"]);
    }
}

#[test]
fn rows_that_stdout_does_not_take_are_an_error_and_a_reader_that_goes_is_none() {
    let folder = plays();
    folder.write("plays.jsonl", &(0..2000).map(play).collect::<String>());
    folder.done(&["publish", "plays", "plays.jsonl"]);
    let tail = ["tail", "plays", "--from-start", "--until-caught-up"];
    let select = "SELECT * FROM plays";
    let (json, csv) = (["query", select, "--json"], ["query", select, "--csv"]);
    for arguments in [&tail[..], &json, &csv, &["query", select], &["explain"], &["check", "--json"]] {
        let full = in_shell(&folder, "exec \"$0\" \"$@\" > /dev/full", arguments);
        clear(&full, "stdout");
        let gone = in_shell(&folder, "\"$0\" \"$@\" | true; exit ${PIPESTATUS[0]}", arguments);
        assert_eq!(gone.code, 0, "{arguments:?}: {}", gone.err);
        assert!(!gone.err.contains("error"), "{arguments:?}: {}", gone.err);
    }
    let unheard = in_shell(&folder, "exec \"$0\" \"$@\" 2> /dev/full", &["query", select, "--json"]);
    assert_eq!((unheard.code, unheard.out.lines().count()), (0, 2000), "what nobody can be told is no reason to stop");
    let limited = in_shell(&folder, "ulimit -f 4; exec \"$0\" \"$@\" > rows.csv", &csv);
    clear(&limited, "stdout: the file may not grow");
}
