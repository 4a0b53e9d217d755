//! `publish` beyond a file: rows as they come, a file that grows, and a name under which it goes on.

use crate::folder::{Folder, Ran};
use crate::wrong::plays;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tests::Chance;
use tests::machine::{SECOND, now, pause};

/// How long anything may take that is sure to come.
const PATIENCE: i64 = 30 * SECOND;

/// The play of a user at a second, as a line.
pub(crate) fn play(n: usize) -> String {
    let at = format!("2026-01-{:02}T{:02}:{:02}:{:02}Z", 1 + n / 86_400, n / 3600 % 24, n / 60 % 60, n % 60);
    format!("{{\"user_id\": {n}, \"track\": \"a\", \"at\": \"{at}\"}}\n")
}

pub(crate) fn all_plays(numbers: std::ops::Range<usize>) -> String {
    numbers.map(play).collect()
}

/// The users whose plays are on the topic, in the order of the topic; text where a message is no play.
pub(crate) fn on_topic(folder: &Folder) -> Vec<String> {
    let ran = folder.run(&["tail", "plays", "--from-start", "--until-caught-up", "--json"]);
    let user = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("tail prints JSON");
        match &row["payload"]["user_id"] {
            serde_json::Value::Null => row["payload"].to_string(),
            user => user.to_string(),
        }
    };
    if ran.code == 0 { ran.out.lines().map(user).collect() } else { Vec::new() }
}

pub(crate) fn users(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

/// A publisher that runs beside the test.
pub(crate) struct Publishing<'a> {
    folder: &'a Folder,
    child: Child,
}

impl Publishing<'_> {
    pub(crate) fn start<'a>(folder: &'a Folder, arguments: &[&str]) -> Publishing<'a> {
        let mut command = folder.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Publishing { folder, child: command.spawn().expect("the command starts") }
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("it is piped").write_all(text.as_bytes()).expect("the publisher reads");
    }

    /// Waits until so many messages are on the topic, and gives them.
    fn wait_for(&mut self, count: usize) -> Vec<String> {
        let begun = now();
        loop {
            let there = on_topic(self.folder);
            if there.len() >= count {
                return there;
            }
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                panic!("it has ended with {status} and {} of {count} messages", there.len());
            }
            assert!(now() < begun + PATIENCE, "{} of {count} messages have come", there.len());
            pause(SECOND / 50);
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "it has ended by itself");
    }

    pub(crate) fn end(self) -> Ran {
        let Publishing { folder, mut child } = self;
        drop(child.stdin.take());
        folder.ran(&child.wait_with_output().expect("the process is ours"))
    }
}

#[test]
fn rows_of_standard_input_go_out_as_they_come() {
    let folder = plays();
    let mut publishing = Publishing::start(&folder, &["publish", "plays", "-"]);
    publishing.write(&play(0));
    assert_eq!(publishing.wait_for(1), users(0..1));
    // A line that is not whole yet holds up none that is.
    publishing.write(&format!("{}{{\"user_id\": 3, ", all_plays(1..3)));
    assert_eq!(publishing.wait_for(3), users(0..3));
    publishing.write("\"track\": \"a\", \"at\": \"2026-01-01T00:00:03Z\"}");
    let ran = publishing.end();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("published 4 messages"), "{}", ran.err);
    assert_eq!(on_topic(&folder), users(0..4));
}

#[test]
fn csv_and_a_fifo_are_read_as_they_come() {
    let folder = plays();
    let mut publishing = Publishing::start(&folder, &["publish", "plays", "-", "--format", "csv"]);
    publishing.write("user_id;track;at;more\n0;a;2026-01-01 08:00:00;1.50\n1;a;2026-01-01 08:00:01;\"x\ny\"\n");
    assert_eq!(publishing.wait_for(2), users(0..2));
    assert_eq!(publishing.end().code, 0);
    let fifo = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().is_ok_and(|made| made.success()), "a FIFO can be made");
    let mut publishing = Publishing::start(&folder, &["publish", "plays", "pipe"]);
    let mut writer = File::options().write(true).open(&fifo).expect("the publisher opens it");
    writer.write_all(all_plays(2..5).as_bytes()).expect("the publisher reads it");
    assert_eq!(publishing.wait_for(5), users(0..5));
    drop(writer);
    let ran = publishing.end();
    assert!(ran.code == 0 && ran.err.contains("published 3 messages"), "{}", ran.err);
    let refused = folder.run(&["publish", "plays", "-", "--follow"]);
    assert!(refused.code == 1 && refused.err.contains("--follow is for files"), "{}", refused.err);
    let refused = folder.run(&["publish", "plays", "-", "--format", "parquet"]);
    assert!(refused.code == 1 && refused.err.contains("cannot be Parquet"), "{}", refused.err);
}

#[test]
fn a_publisher_that_is_asked_to_stop_says_what_is_there() {
    for signal in ["INT", "TERM"] {
        let folder = plays();
        let mut publishing = Publishing::start(&folder, &["publish", "plays", "-"]);
        publishing.write(&all_plays(0..2));
        publishing.wait_for(2);
        publishing.signal(signal);
        let Publishing { folder, mut child } = publishing;
        let _still_open = child.stdin.take();
        let ran = folder.ran(&child.wait_with_output().expect("the process is ours"));
        assert_eq!(ran.code, 0, "what came is there: {}", ran.err);
        assert!(ran.err.contains("published 2 messages"), "{}", ran.err);
        assert_eq!(on_topic(folder), users(0..2));
    }
}

#[test]
fn a_file_that_grows_is_followed_also_where_it_is_rotated_or_cut() {
    let folder = plays();
    let path = folder.path().join("app.log");
    folder.write("app.log", &all_plays(0..2));
    let arguments = ["publish", "plays", "app.log", "--format", "jsonl", "--follow"];
    let mut publishing = Publishing::start(&folder, &arguments);
    publishing.wait_for(2);
    append(&path, &all_plays(2..4));
    publishing.wait_for(4);
    std::fs::rename(&path, folder.path().join("app.log.1")).expect("it can be renamed");
    append(&folder.path().join("app.log.1"), &play(4));
    folder.write("app.log", &play(5));
    publishing.wait_for(6);
    std::fs::write(&path, "").expect("it can be cut");
    // It is seen to be shorter only while it is.
    pause(SECOND / 2);
    append(&path, &play(6));
    publishing.wait_for(7);
    publishing.signal("INT");
    let ran = publishing.end();
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in ["\"app.log\" is another file by now", "\"app.log\" was cut shorter", "published 7 messages"] {
        assert!(ran.err.contains(part), "no {part:?} in\n{}", ran.err);
    }
    assert_eq!(on_topic(&folder), users(0..7));
}

fn append(path: &Path, text: &str) {
    File::options().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("it grows");
}

/// Publishes the file under a name.
fn under_a_name(folder: &Folder) -> Ran {
    folder.run(&["publish", "plays", "rows.jsonl", "--producer", "import", "--partitions", "3"])
}

fn sorted(folder: &Folder) -> Vec<usize> {
    let mut all: Vec<usize> = on_topic(folder).iter().map(|user| user.parse().expect("a number")).collect();
    all.sort_unstable();
    all
}

#[test]
fn under_a_name_each_row_comes_once_and_another_input_is_refused() {
    let folder = plays();
    folder.write("rows.jsonl", &all_plays(0..5));
    let ran = under_a_name(&folder);
    assert!(ran.code == 0 && ran.err.contains("published 5 messages"), "{}", ran.err);
    let ran = under_a_name(&folder);
    let told = "nothing was published to topic plays; 5 rows were there already, of producer import";
    assert!(ran.code == 0 && ran.err.contains(told), "{}", ran.err);
    folder.write("rows.jsonl", &all_plays(0..9));
    let ran = under_a_name(&folder);
    assert!(ran.err.contains("published 4 messages") && ran.err.contains("5 rows were there already"), "{}", ran.err);
    assert_eq!(sorted(&folder), (0..9).collect::<Vec<_>>());
    for (text, how) in [
        (all_plays(0..8), "has 8 rows, fewer than the 9 of it"),
        (all_plays(0..9).replace("\"a\"", "\"b\""), "differs from it in its first 9 rows"),
        (all_plays(0..8) + &play(20), "differs from it in its first 9 rows"),
        (String::new(), "has 0 rows"),
    ] {
        let ran = folder.write("rows.jsonl", &text).run(&["publish", "plays", "rows.jsonl", "--producer", "import"]);
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(
            ran.err.contains("producer \"import\" has published \"rows.jsonl\"") && ran.err.contains(how),
            "{}",
            ran.err
        );
        assert_eq!(on_topic(&folder).len(), 9);
    }
    // What it is called does not matter, what it holds does; and the name of a job's producer is none of these.
    folder.write("moved.jsonl", &all_plays(0..10));
    folder.done(&["publish", "plays", "moved.jsonl", "--producer", "import"]);
    folder.done(&["publish", "plays", "moved.jsonl", "--producer", "other"]);
    assert_eq!(on_topic(&folder).len(), 20);
}

#[test]
fn a_row_that_is_mended_lets_a_named_publisher_go_on() {
    let folder = plays();
    let run = |text: &str| {
        let mut publishing = Publishing::start(&folder, &["publish", "plays", "-", "--producer", "p"]);
        publishing.write(text);
        publishing.end()
    };
    let ran = run(&format!("{}{{\n{}", all_plays(0..3), play(4)));
    assert!(
        ran.code == 1 && ran.err.contains("stdin line 4") && ran.err.contains("mend it, and the same"),
        "{}",
        ran.err
    );
    let ran = run(&all_plays(0..5));
    assert!(ran.code == 0 && ran.err.contains("published 2 messages"), "{}", ran.err);
    assert_eq!(sorted(&folder), (0..5).collect::<Vec<_>>());
}

/// The bytes of messages on the topic, whole or not.
fn log_bytes(folder: &Folder) -> u64 {
    let size = |partition: usize| {
        let segment = folder.path().join(format!("topics/plays/{partition}/000000000000.log"));
        std::fs::metadata(segment).map_or(0, |segment| segment.len())
    };
    (0..3).map(size).sum()
}

#[test]
fn a_named_publisher_that_is_killed_goes_on_where_it_was() {
    const ROWS: usize = 150_000;
    const KILLS: usize = 10;
    let folder = plays();
    folder.write("rows.jsonl", &all_plays(0..ROWS));
    let (mut chance, mut stops) = (Chance::new(7), BTreeSet::new());
    let arguments = ["publish", "plays", "rows.jsonl", "--producer", "import", "--partitions", "3"];
    for _ in 0..KILLS {
        let before = log_bytes(&folder);
        let mut publishing = Publishing::start(&folder, &arguments);
        while log_bytes(&folder) == before && publishing.child.try_wait().expect("the process is ours").is_none() {
            pause(SECOND / 1000);
        }
        pause(chance.between(0, 15_000));
        let _ = publishing.child.kill();
        let _ = publishing.end();
        stops.insert(log_bytes(&folder));
    }
    let ran = under_a_name(&folder);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let on_the_way = stops.iter().filter(|&&bytes| bytes < log_bytes(&folder)).count();
    assert!(on_the_way >= KILLS / 3, "it was killed on its way {on_the_way} times of {KILLS} only");
    assert_eq!(sorted(&folder), (0..ROWS).collect::<Vec<_>>(), "after kills at {stops:?}");
}

#[test]
fn a_named_publisher_that_finds_no_room_goes_on_when_there_is_some() {
    let folder = plays();
    folder.write("rows.jsonl", &all_plays(0..20_000));
    let arguments = ["publish", "plays", "rows.jsonl", "--producer", "import"];
    for kib in [0, 700, 1_500] {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("ulimit -f {kib}; exec \"$0\" \"$@\"")]).arg(tests::riverrun()).args(arguments);
        folder.here(&mut shell);
        let ran = folder.ran(&shell.output().expect("the shell starts"));
        assert!(ran.code == 1 && ran.err.contains("`ulimit -f`"), "{}", ran.err);
        assert!(ran.err.contains("run the command again"), "{}", ran.err);
        let there = sorted(&folder);
        assert_eq!(there, (0..there.len()).collect::<Vec<_>>(), "what is on the topic is whole");
    }
    folder.done(&arguments);
    assert_eq!(sorted(&folder), (0..20_000).collect::<Vec<_>>());
}

#[test]
fn a_followed_file_under_a_name_goes_on_and_one_that_took_its_name_unseen_is_refused_with_what_to_do() {
    let folder = plays();
    folder.write("app.log", &all_plays(0..2));
    let arguments = ["publish", "plays", "app.log", "--format", "jsonl", "--follow", "--producer", "log"];
    let mut publishing = Publishing::start(&folder, &arguments);
    publishing.wait_for(2);
    publishing.signal("INT");
    assert_eq!(publishing.end().code, 0);
    // What it grew by while nobody read it comes once, and so does what comes then.
    append(&folder.path().join("app.log"), &all_plays(2..4));
    let mut publishing = Publishing::start(&folder, &arguments);
    publishing.wait_for(4);
    append(&folder.path().join("app.log"), &play(4));
    publishing.wait_for(5);
    // A rotation that it sees is followed, also by the next run.
    std::fs::rename(folder.path().join("app.log"), folder.path().join("app.log.1")).expect("it can be renamed");
    folder.write("app.log", &play(5));
    publishing.wait_for(6);
    publishing.signal("INT");
    let ran = publishing.end();
    assert!(ran.code == 0 && ran.err.contains("2 rows were there already, of producer log"), "{}", ran.err);
    append(&folder.path().join("app.log"), &play(6));
    let mut publishing = Publishing::start(&folder, &arguments);
    publishing.wait_for(7);
    publishing.signal("INT");
    let ran = publishing.end();
    assert!(ran.err.contains("published 1 message ") && ran.err.contains("1 row was there already"), "{}", ran.err);
    assert_eq!(on_topic(&folder), users(0..7));
    // One that nobody saw is refused, and the way out works.
    append(&folder.path().join("app.log"), &play(7));
    std::fs::rename(folder.path().join("app.log"), folder.path().join("app.log.2")).expect("it can be renamed");
    folder.write("app.log", &all_plays(8..11));
    let ran = folder.run(&arguments);
    for part in ["producer \"log\" has published \"app.log\"", "Where a log was rotated", "without --follow"] {
        assert!(ran.code == 1 && ran.err.contains(part), "no {part:?} in\n{}", ran.err);
    }
    assert_eq!(on_topic(&folder), users(0..7));
    folder.done(&["publish", "plays", "app.log.2", "--format", "jsonl", "--producer", "log"]);
    let mut publishing = Publishing::start(&folder, &[&arguments[..7], &["log-2"]].concat());
    publishing.wait_for(11);
    publishing.signal("INT");
    assert_eq!(publishing.end().code, 0);
    assert_eq!(on_topic(&folder), users(0..11));
}

#[test]
fn rows_of_another_encoding_go_out_as_they_come_and_none_is_lost_at_the_end() {
    let folder = plays();
    let mut publishing = Publishing::start(&folder, &["publish", "plays", "-", "--encoding", "latin1"]);
    publishing.write(&all_plays(0..2));
    assert_eq!(publishing.wait_for(2), users(0..2));
    publishing.write(&all_plays(2..500));
    publishing.wait_for(500);
    publishing.signal("INT");
    let Publishing { folder, mut child } = publishing;
    let _still_open = child.stdin.take();
    let ran = folder.ran(&child.wait_with_output().expect("the process is ours"));
    assert!(ran.code == 0 && ran.err.contains("published 500 messages"), "{}", ran.err);
    assert_eq!(on_topic(folder), users(0..500));
    folder.write("app.log", "");
    let arguments = ["publish", "plays", "app.log", "--format", "jsonl", "--follow", "--encoding", "latin1"];
    let mut publishing = Publishing::start(folder, &arguments);
    append(&folder.path().join("app.log"), &play(500));
    assert_eq!(publishing.wait_for(501), users(0..501));
    publishing.signal("INT");
    assert_eq!(publishing.end().code, 0);
}

#[test]
fn a_file_that_is_followed_need_not_be_there_yet() {
    let folder = plays();
    let mut publishing = Publishing::start(&folder, &["publish", "plays", "app.jsonl", "--follow"]);
    pause(SECOND / 5);
    folder.write("app.jsonl", &play(0));
    assert_eq!(publishing.wait_for(1), users(0..1));
    publishing.signal("INT");
    let ran = publishing.end();
    assert!(ran.code == 0 && ran.err.contains("published 1 message "), "{}", ran.err);
    for (name, why) in
        [("*.jsonl2", "a pattern of names"), ("a.jsonl.gz", "not compressed"), ("a.parquet", "is Parquet")]
    {
        let refused = folder.run(&["publish", "plays", name, "--follow"]);
        assert!(refused.code == 1 && refused.err.contains(why), "{}", refused.err);
    }
}
