//! A small project with history, a window and a table, on disk and on servers.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};
use tests::Program;
use tests::catalogs::{ACCESS_KEY, AZURE_KEY, REGION, SECRET_KEY};
use tests::machine::{SECOND, now, pause};

/// How long a run may take.
pub const RUN: i64 = 180 * SECOND;
/// The events of the test, a second apart.
pub const EVENTS: usize = 2000;

/// The token that lets a client into the store that speaks as Google's does.
pub const GCS_TOKEN: &str = "CANARY-gcs-token";

/// What the settings name by `env:`. No message may show it.
const SECRETS: [(&str, &str); 10] = [
    ("TEST_SESSION", "CANARY-session"),
    ("TEST_HEADER", "CANARY-header"),
    ("TEST_GCS_TOKEN", GCS_TOKEN),
    ("TEST_AZURE_KEY", AZURE_KEY),
    ("TEST_AZURE_OTHER", "b3RoZXI="),
    ("TEST_AZURE_CLIENT", "CANARY-azure-client"),
    ("TEST_S3_SECRET", SECRET_KEY),
    ("TEST_TOKEN", "CANARY-token"),
    ("TEST_CLIENT", "id:CANARY-client"),
    ("TEST_STRANGER", "CANARY-client"),
];

const SETTINGS: &str = r#"
[project]
name = "on_servers"
commit_every = "500ms"
checkpoint_every = "200ms"
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
INSERT INTO lake.deep.counted SELECT * FROM counted;
";

/// Refuses bytes that hold a secret.
fn assert_no_secret(bytes: &[u8], what: &str) {
    for secret in ["CANARY", AZURE_KEY] {
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "a secret is in {what}: {}", String::from_utf8_lossy(bytes));
    }
}

fn assert_no_secret_below(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match std::fs::symlink_metadata(&path).unwrap().is_dir() {
            true => assert_no_secret_below(&path),
            // What a run has removed meanwhile, or what is no file, holds nothing.
            false => assert_no_secret(&std::fs::read(&path).unwrap_or_default(), &path.display().to_string()),
        }
    }
}

/// The key `history` of tables in a catalog, whose files are in S3.
pub fn history_of(catalog: &str, endpoint: &str) -> String {
    format!(
        "catalog = \"{catalog}\", s3 = {{ endpoint = \"{endpoint}\", region = \"{REGION}\", path_style = true, access_key = \
         \"{ACCESS_KEY}\", secret_key = \"env:TEST_S3_SECRET\" }}"
    )
}

/// An environment with this key `history`.
pub fn with_history(history: &str) -> String {
    format!("{SETTINGS}\n[env.prod]\nhistory = {{ {history} }}\nlive = {{ topics = \"./topics\" }}\n")
}

/// A project folder.
pub struct Folder {
    root: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Folder {
    /// The project with these settings.
    pub fn new(settings: &str) -> Folder {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("pipelines")).unwrap();
        std::fs::write(root.path().join("pipelines/all.sql"), SQL).unwrap();
        std::fs::write(root.path().join("riverrun.toml"), settings).unwrap();
        Folder { root, variables: Vec::new() }
    }

    /// The same with a variable of the environment of all its commands.
    pub fn with_variable(mut self, name: &'static str, value: impl Into<String>) -> Folder {
        self.variables.push((name, value.into()));
        self
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Puts events on the topic, which all environments share.
    pub fn publish(&self, environment: &str, events: Range<usize>) {
        let mut lines = String::new();
        for id in events {
            let (player, score, second) = (id * id % 7 + id % 3, id * 31 % 100, id % 60);
            let (minute, hour) = (id / 60 % 60, id / 3600);
            let at = format!("2026-01-01 {hour:02}:{minute:02}:{second:02}");
            writeln!(lines, r#"{{"id":{id},"player":{player},"score":{score},"played_at":"{at}"}}"#).unwrap();
        }
        let events = self.path().join("events.jsonl");
        std::fs::write(&events, lines).unwrap();
        self.to_end(&["publish", "plays", events.to_str().unwrap()], environment);
    }

    /// Runs a command, which never shows a secret.
    pub fn command(&self, arguments: &[&str], environment: &str) -> Output {
        let mut command = Command::new(tests::riverrun());
        command.arg("--project").arg(self.path()).args(arguments).args(["--env", environment]);
        command.envs(SECRETS).envs(self.variables.iter().map(|(name, value)| (name, value)));
        let ran = command.env("RUST_BACKTRACE", "1").current_dir(self.path()).output().unwrap();
        assert_no_secret(&ran.stdout, &format!("what {arguments:?} prints"));
        assert_no_secret(&ran.stderr, &format!("what {arguments:?} says"));
        ran
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

    /// Runs a command, which is to be refused; gives what it told, which never holds a secret.
    pub fn refused(&self, arguments: &[&str], environment: &str) -> String {
        let ran = self.command(arguments, environment);
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {told}");
        told
    }

    /// Looks through all that the project has in files.
    pub fn assert_no_secret_in_files(&self) {
        assert_no_secret_below(self.path());
    }

    /// Starts a command that goes on by itself.
    pub fn start(&self, arguments: &[&str], environment: &str) -> Program {
        let mut command = Command::new(tests::riverrun());
        command.arg("--project").arg(self.path()).args(arguments).args(["--env", environment]);
        command.envs(SECRETS).envs(self.variables.iter().map(|(name, value)| (name, value)));
        Program::spawn(command)
    }

    /// Waits until the table has so many rows.
    pub fn wait_for_rows(&self, environment: &str, least: usize) {
        let begun = now();
        loop {
            let ran = self.command(&["query", "SELECT id FROM lake.deep.counted", "--csv"], environment);
            let count = String::from_utf8_lossy(&ran.stdout).lines().skip(1).count();
            if ran.status.success() && count >= least {
                return;
            }
            assert!(now() < begun + RUN, "{count} rows: {}", String::from_utf8_lossy(&ran.stderr));
            pause(SECOND / 10);
        }
    }

    /// The rows of the table, sorted.
    pub fn rows(&self, environment: &str) -> Vec<String> {
        let sql = "SELECT * FROM lake.deep.counted ORDER BY id";
        let printed = self.printed(&["query", sql, "--csv"], environment);
        printed.lines().skip(1).map(str::to_owned).collect()
    }
}
