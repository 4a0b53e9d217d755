//! A small project with history, a window, a table and a decision, in two environments.

use serde_json::Value;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};
use tests::machine::{SECOND, now, pause};
use tests::{Broker, Program};

/// How long a run may take.
pub const RUN: i64 = 120 * SECOND;
/// The events of the test, a second apart.
pub const EVENTS: usize = 4000;

const SETTINGS: &str = r#"
[project]
name = "on_pulsar"
commit_every = "300ms"
checkpoint_every = "100ms"
[env.dev]
history = { warehouse = "./warehouse" }
live    = { topics = "./topics" }
"#;

const SQL: &str = "
CREATE STREAM plays (id BIGINT, player BIGINT, score INT, played_at TIMESTAMP,
  WATERMARK FOR played_at AS played_at - INTERVAL '2' SECOND QUIET NEVER
) HISTORY raw.plays LIVE plays;
ARCHIVE plays;
CREATE VIEW counted AS
SELECT id, player, played_at, score, count(*) OVER w AS plays_1m, sum(score) OVER w AS score_1m
FROM plays
WINDOW w AS (PARTITION BY player ORDER BY played_at RANGE INTERVAL '1' MINUTE PRECEDING);
INSERT INTO lake.counted SELECT * FROM counted;
CREATE DECISION guard ON counted SUBJECT player TO actions AS
  RULE often WHEN plays_1m > 8 THEN 'slow_down' ONCE PER INTERVAL '1' MINUTE
  RULE high  WHEN score_1m > 420 THEN 'look';
";

/// A project folder.
pub struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    /// The project, with the broker as an environment.
    pub fn new(broker: &Broker) -> Folder {
        Folder::with(&format!("{SETTINGS}\n{}", broker.environment))
    }

    /// The project with these settings.
    pub fn with(settings: &str) -> Folder {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("pipelines")).unwrap();
        std::fs::write(root.path().join("pipelines/all.sql"), SQL).unwrap();
        std::fs::write(root.path().join("riverrun.toml"), settings).unwrap();
        Folder { root }
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Puts events on the topic.
    pub fn publish(&self, environment: &str, events: Range<usize>) {
        let mut lines = String::new();
        for id in events {
            let (player, score, second) = (id * id % 7 + id % 3, id * 31 % 100, id % 60);
            let (minute, hour) = (id / 60 % 60, id / 3600);
            let at = format!("2026-01-01 {hour:02}:{minute:02}:{second:02}");
            writeln!(lines, r#"{{"id":{id},"player":{player},"score":{score},"played_at":"{at}"}}"#).unwrap();
        }
        std::fs::write(self.path().join("events.jsonl"), lines).unwrap();
        let events = self.path().join("events.jsonl");
        self.to_end(&["publish", "plays", events.to_str().unwrap()], environment);
    }

    /// Runs a command.
    pub fn command(&self, arguments: &[&str], environment: &str) -> Output {
        let mut command = Command::new(tests::riverrun());
        command.arg("--project").arg(self.path()).args(arguments).args(["--env", environment]);
        command.current_dir(self.path()).output().unwrap()
    }

    /// Runs a command, which is to succeed; gives what it printed.
    pub fn printed(&self, arguments: &[&str], environment: &str) -> String {
        let ran = self.command(arguments, environment);
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{arguments:?} --env {environment}: {told}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Runs a command, which is to succeed.
    pub fn to_end(&self, arguments: &[&str], environment: &str) {
        self.printed(arguments, environment);
    }

    /// Runs a command, which is to be refused; gives what it told.
    pub fn refused(&self, arguments: &[&str], environment: &str) -> String {
        let ran = self.command(arguments, environment);
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {told}");
        told
    }

    /// Starts a command that goes on by itself.
    pub fn start(&self, arguments: &[&str], environment: &str) -> Program {
        let mut all = arguments.to_vec();
        all.extend(["--env", environment]);
        Program::start(self.path(), &all)
    }

    /// Waits until the topic of actions on Pulsar has so many; gives how many there are.
    pub fn wait_for_actions(&self, least: usize) -> usize {
        let begun = now();
        loop {
            let ran = self.command(&["tail", "actions", "--from-start", "--until-caught-up"], "pulsar");
            let count = String::from_utf8_lossy(&ran.stdout).lines().count();
            if ran.status.success() && count >= least {
                return count;
            }
            assert!(now() < begun + RUN, "{count} actions: {}", String::from_utf8_lossy(&ran.stderr));
            pause(SECOND / 10);
        }
    }

    /// The rows of the table, sorted.
    pub fn rows(&self, environment: &str) -> Vec<String> {
        let sql = "SELECT * FROM lake.counted ORDER BY id";
        let printed = self.printed(&["query", sql, "--csv"], environment);
        printed.lines().skip(1).map(str::to_owned).collect()
    }

    /// The actions on the topic, sorted, without the id that tells where their message lies.
    pub fn actions(&self, environment: &str) -> Vec<String> {
        let printed = self.printed(&["tail", "actions", "--from-start", "--until-caught-up", "--json"], environment);
        let action = |line: &str| {
            let mut action = serde_json::from_str::<Value>(line).unwrap()["payload"].take();
            assert!(action.as_object_mut().unwrap().remove("decision_id").is_some(), "{line}");
            action.to_string()
        };
        let mut actions: Vec<String> = printed.lines().map(action).collect();
        actions.sort_unstable();
        actions
    }
}
