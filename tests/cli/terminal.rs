//! What people see on a terminal: everything fits 80 columns, something moves from the beginning on, and colors come and
//! go as they are asked for.

use crate::folder::{Folder, Ran};
use std::fmt::Write;
use std::process::Command;

const COLUMNS: usize = 80;
/// The longest that nothing may change, in milliseconds. What moves is drawn every 100; the rest is for machines that do
/// much else.
const STILL_MS: u64 = 1_000;

/// What a command wrote to its terminal.
struct Shown {
    code: i64,
    /// Milliseconds since the start, and what was written then.
    pieces: Vec<(u64, String)>,
}

impl Shown {
    fn of(folder: &Folder, arguments: &[&str], colors: bool) -> Shown {
        let mut command = Command::new("python3");
        command.arg(tests::root().join("tests/cli/terminal.py")).arg(COLUMNS.to_string()).arg(tests::riverrun());
        folder.here(command.args(arguments));
        command.env("TERM", "xterm-256color");
        if colors {
            command.env_remove("NO_COLOR");
        }
        let output = command.output().expect("python3 starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let piece = |piece: &serde_json::Value| {
            (piece[0].as_u64().expect("a time"), piece[1].as_str().expect("a text").to_owned())
        };
        Shown {
            code: shown["code"].as_i64().expect("a code"),
            pieces: shown["pieces"].as_array().expect("a list").iter().map(piece).collect(),
        }
    }

    /// All that was written.
    fn all(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The lines that were there at some time, without what moves the cursor or colors them.
    fn lines(&self) -> Vec<String> {
        plain(&self.all()).split(['\r', '\n']).filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    }
}

/// A text without the sequences that begin with ESC and `[`.
fn plain(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|sign: char| sign.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

/// Whether a text sets a color.
fn has_color(text: &str) -> bool {
    text.split("\x1b[")
        .skip(1)
        .any(|part| part.trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == ';').starts_with('m'))
}

/// A project over a CSV that takes a while to be opened, and longer to be run.
fn large() -> Folder {
    let folder = Folder::empty();
    let mut rows = "user_of_the_service,track,at\n".to_owned();
    for n in 0..1_500_000 {
        writeln!(
            rows,
            "{},track number {n},2026-01-{:02} {:02}:{:02}:{:02}",
            n % 1_000,
            1 + n / 86_400,
            n / 3_600 % 24,
            n / 60 % 60,
            n % 60
        )
        .expect("it fits in memory");
    }
    folder.write("data.csv", &rows).write(
        "pipelines/plays.sql",
        "CREATE STREAM plays_of_a_service_with_a_long_name (user_of_the_service BIGINT, track TEXT, at TIMESTAMP,
           WATERMARK FOR at AS at ARRIVAL at) HISTORY FILES 'data.csv';
         CREATE VIEW counted_plays_of_a_service AS SELECT user_of_the_service, at,
           count(*) OVER (PARTITION BY user_of_the_service ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS plays_1d
         FROM plays_of_a_service_with_a_long_name;
         INSERT INTO lake.counted_plays_of_a_service SELECT * FROM counted_plays_of_a_service;
         INSERT INTO lake.busy_users_of_a_service SELECT * FROM counted_plays_of_a_service WHERE plays_1d > 80;
         CREATE DECISION too_many_plays ON counted_plays_of_a_service SUBJECT user_of_the_service TO actions AS
           RULE a_rule_with_a_long_name WHEN plays_1d > 80 THEN 'review' ONCE PER INTERVAL '1' HOUR;",
    );
    folder
}

#[test]
fn a_terminal_of_80_columns_holds_what_moves_and_the_summary() {
    let folder = large();
    let shown = Shown::of(&folder, &["run"], true);
    let all = shown.all();
    assert_eq!(shown.code, 0, "{all}");
    for line in shown.lines() {
        // A frame has a second line, which begins where the first one has filled the terminal.
        let (width, second) = (line.chars().count(), line.chars().skip(COLUMNS).collect::<String>());
        assert!(width <= COLUMNS || (width <= 2 * COLUMNS && second.starts_with("  ")), "{width} columns: {line}");
    }
    for part in
        ["opening inputs", "arrivals of plays_of_a_service_with", "history [", " rows  ", "/s", "too_many_plays"]
    {
        assert!(all.contains(part), "no {part:?} in\n{all}");
    }
    assert!(plain(&all).contains("project done in "), "{all}");
    assert!(!all.contains(" 0 s left") && !all.contains("0s left"), "{all}");
    let moments: Vec<u64> = [0].into_iter().chain(shown.pieces.iter().map(|(at, _)| *at)).collect();
    let still = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX);
    assert!(still <= STILL_MS, "nothing moved for {still} ms: {moments:?}");
    let opening = shown.pieces.iter().filter(|(_, text)| text.contains("opening inputs")).count();
    assert!(opening > 1, "a file of 60 MB is opened in {opening} frames");
}

#[test]
fn a_terminal_of_80_columns_holds_tables_jobs_and_errors() {
    let folder = Folder::demo();
    folder.done(&["run"]);
    let long = "SELECT *, 'a text that is much longer than one cell of a table may be' AS text, '東京都' AS city FROM scored LIMIT 3";
    let id = folder.done(&["query", "SELECT decision_id FROM dm_spam__log", "--csv", "-n", "1"]).out;
    let id = id.lines().nth(1).expect("the log has rows").to_owned();
    let wrong = format!("SELECT {} nothing FROM messages", "sender_id, ".repeat(30));
    let many = "SELECT nothing FROM scored";
    let commands: [&[&str]; 8] = [
        &["query", long],
        &["query", "FROM dm_spam__log LIMIT 3"],
        &["tail", "actions", "--from-start", "--until-caught-up"],
        &["why", &id],
        &["jobs"],
        &["explain"],
        &["query", &wrong],
        &["query", many],
    ];
    for command in commands {
        let shown = Shown::of(&folder, command, false);
        let lines = shown.lines();
        assert!(!lines.is_empty(), "{command:?}");
        for line in &lines {
            // What moves fills the line.
            let is_moving = line.contains("query  ") || line.trim().len() < 3;
            assert!(is_moving || line.chars().count() <= COLUMNS, "{command:?} {}: {line}", line.chars().count());
        }
    }
    let table = Shown::of(&folder, &["query", "FROM dm_spam__log LIMIT 3"], false).all();
    assert!(plain(&table).contains("more columns: "), "{table}");
    // What is no terminal gets all of it.
    let piped = folder.done(&["query", "FROM dm_spam__log LIMIT 3"]).out;
    assert!(piped.lines().any(|line| line.chars().count() > COLUMNS) && !piped.contains("more columns"), "{piped}");
}

#[test]
fn colors_come_and_go_as_they_are_asked_for() {
    let folder = Folder::demo();
    folder.replace("pipelines/spam.sql", "avg(has_link", "avg(has_lnk");
    assert!(has_color(&Shown::of(&folder, &["check"], true).all()));
    let bare = Shown::of(&folder, &["check"], false).all();
    assert!(!has_color(&bare), "NO_COLOR is set: {bare:?}");
    assert!(!has_color(&Shown::of(&folder, &["check", "--color", "never"], true).all()));
    let plainly: Ran = folder.run(&["check"]);
    assert!(!plainly.err.contains('\x1b'), "{}", plainly.err);
    let colored = folder.run(&["check", "--color", "always"]);
    assert!(colored.err.contains("\x1b[1;31merror:\x1b[0m"), "{}", colored.err);
    assert_eq!(plain(&colored.err), plainly.err, "colors change nothing else");
    assert!(folder.run(&["--help", "--color=always"]).out.contains("\x1b["));
    assert!(!folder.run(&["--help"]).out.contains("\x1b["));
}
