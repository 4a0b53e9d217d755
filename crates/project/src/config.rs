//! `riverrun.toml`: text becomes typed values once, here.

use crate::checkpoint_pace::{CheckpointPause, CheckpointTimeout};
use crate::checkpoint_settings::CheckpointSettings;
use crate::duration::duration;
use crate::failure::Failure;
use crate::names::Places;
use crate::placed_text::SECRET_EXPECTED;
use crate::secrets::without_secrets;
use crate::state_memory::StateBytes;
use crate::table_place::History;
use crate::topic_place::Live;
use dataflow::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sql::{Diagnostic, did_you_mean, near_or_all};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use toml::Spanned;

/// The environment in which a secret may stand in the settings, with a warning.
pub const OWN_MACHINE: &str = "dev";

/// A project's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the project is.
    pub project: About,
    /// Where names live, by environment.
    #[serde(default, rename = "env")]
    pub environments: BTreeMap<String, Environment>,
    /// Sets of outputs that run, fail and stop together. Without any, all outputs are one job.
    #[serde(default, rename = "job")]
    pub jobs: BTreeMap<String, JobConfig>,
}

/// What a project is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, [project] in a line and name = \"..\" in the next")]
pub struct About {
    /// The name; letters, digits, `_` and `-`.
    #[serde(deserialize_with = "project_name")]
    pub name: String,
    /// How often tables are committed while a job runs: `"60s"`, which it is without this key.
    #[serde(default)]
    pub commit_every: CommitEvery,
    /// How often checkpoints are taken while a job runs: `"10s"`; at every commit without this key.
    #[serde(default)]
    pub checkpoint_every: Option<CheckpointEvery>,
    /// How long after a checkpoint the next one begins at the earliest: `"1s"`; a tenth of the time between checkpoints
    /// without this key.
    #[serde(default)]
    pub checkpoint_pause: Option<CheckpointPause>,
    /// How long a checkpoint may wait to be stored before the next one is tried: `"2m"`, which it is without this key.
    #[serde(default)]
    pub checkpoint_timeout: CheckpointTimeout,
    /// How many checkpoints of a job are kept; 3 without this key.
    #[serde(default)]
    pub checkpoints_kept: CheckpointsKept,
    /// How often the tables that a job writes are compacted while it runs: `"6h"`; never without this key.
    #[serde(default)]
    pub compact_every: Option<CompactEvery>,
}

/// How often tables are compacted while a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CompactEvery(pub Duration);

impl TryFrom<String> for CompactEvery {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let range = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
        duration(&text, range, "a number and a unit from 1s to 30d, such as 6h").map(CompactEvery)
    }
}

fn project_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match !name.is_empty() && name.chars().all(is_letter_of_name) {
        true => Ok(name),
        false => {
            Err(D::Error::custom(format!("the project cannot be named \"{name}\", expected letters, digits, _ and -")))
        }
    }
}

/// How often checkpoints are taken. One that takes longer than this is followed by the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CheckpointEvery(pub Duration);

impl TryFrom<String> for CheckpointEvery {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        CommitEvery::try_from(text).map(|every| CheckpointEvery(every.0))
    }
}

/// How many checkpoints of a job are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct CheckpointsKept(pub usize);

impl Default for CheckpointsKept {
    fn default() -> Self {
        CheckpointsKept(3)
    }
}

impl TryFrom<u64> for CheckpointsKept {
    type Error = Error;

    fn try_from(count: u64) -> Result<Self> {
        match usize::try_from(count) {
            Ok(kept @ 1..=1000) => Ok(CheckpointsKept(kept)),
            _ => Err(Error::invalid(format!("{count} checkpoints cannot be kept, expected a number from 1 to 1000"))),
        }
    }
}

/// Whether the name of a project may have this letter.
pub fn is_letter_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

/// How often tables are committed. A commit makes rows visible, and costs files and a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CommitEvery(pub Duration);

impl CommitEvery {
    /// More often, and files and snapshots are all that a table has.
    const LEAST: Duration = Duration::from_millis(100);
    /// Rows that nobody sees for longer are of no use.
    const GREATEST: Duration = Duration::from_secs(24 * 3600);
}

impl Default for CommitEvery {
    fn default() -> Self {
        CommitEvery(Duration::from_secs(60))
    }
}

impl FromStr for CommitEvery {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = "a number and a unit from 100ms to 24h, such as 500ms, 60s or 2m";
        duration(text, CommitEvery::LEAST..=CommitEvery::GREATEST, expected).map(CommitEvery)
    }
}

impl TryFrom<String> for CommitEvery {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// Where the names of a project live in one environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Where tables are.
    pub history: History,
    /// Where topics are.
    pub live: Live,
    /// Where checkpoints lie: a folder, relative to the project, or one of a store; in the warehouse without this key.
    #[serde(default)]
    pub checkpoints: Option<CheckpointSettings>,
    /// How many bytes the state of a job may take in memory, as `"2 GiB"`; the rest of it goes to files in the warehouse.
    /// Half of the machine's memory without this key.
    #[serde(default)]
    pub state_memory: StateBytes,
    /// Topics of which there is more than `live` says: where else their messages come from or go to.
    #[serde(default)]
    pub names: BTreeMap<String, Spanned<Places>>,
}

impl Environment {
    /// Where else the messages of a topic come from or go to.
    pub fn places(&self, topic: &str) -> Option<&Places> {
        self.names.get(topic).map(Spanned::get_ref)
    }

    /// What does not fit together in the names, and where it stands.
    fn wrong_names(&self) -> Vec<(Range<usize>, String)> {
        let wrong = |(name, places): (&String, &Spanned<Places>)| {
            Some((places.span(), places.get_ref().misfit(name, &self.live.place)?))
        };
        self.names.iter().filter_map(wrong).chain(self.shared_subscriptions()).collect()
    }

    /// Subscriptions that stand twice: Pub/Sub gives each of their messages to one of the two.
    fn shared_subscriptions(&self) -> Vec<(Range<usize>, String)> {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        let mut shared = Vec::new();
        for (topic, places) in &self.names {
            for subscription in &places.get_ref().subscriptions {
                if let Some(first) = seen.insert(&subscription.name, topic) {
                    let told = format!(
                        "subscription {} stands here and for {first}, and each of its messages would go to one of the two: \
                         make a subscription for each",
                        subscription.name
                    );
                    shared.push((places.span(), told));
                }
            }
        }
        shared
    }
}

/// A set of outputs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobConfig {
    /// Decisions and INSERT targets by name; `lake.*` is all of a namespace.
    pub outputs: Vec<String>,
}

/// What is wrong at some bytes of a settings file. The line is shown without secrets.
pub fn placed(path: &Path, text: &str, bytes: std::ops::Range<usize>, message: &str) -> Diagnostic {
    let written = text;
    let text = &without_secrets(text);
    let start = (0..=bytes.start.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let source_line = text[line_start..].lines().next().unwrap_or_default().to_owned();
    let rest = source_line.chars().count().saturating_sub(before[line_start..].chars().count());
    let (message, expected) = match message.split_once(", expected ") {
        Some((message, expected)) => (message, Some(in_plain_words(expected).to_owned())),
        None => (message, None),
    };
    let hint = wrong_key(message, expected.as_deref()).or_else(|| missing_unit(message, &source_line));
    // A hint that stands beside stars says what they are.
    let hint = match (hint, source_line == written.lines().nth(before.matches('\n').count()).unwrap_or_default()) {
        (hint, true) => hint,
        (Some(hint), false) => Some(format!("{hint}; {MASKED}")),
        (None, false) => Some(MASKED.to_owned()),
    };
    Diagnostic {
        path: path.to_string_lossy().into_owned(),
        line: before.matches('\n').count() as u64 + 1,
        column: before[line_start..].chars().count() as u64 + 1,
        span_len: bytes.len().clamp(1, rest.max(1)) as u64,
        is_warning: false,
        message: message.to_owned(),
        found: None,
        expected,
        hint,
        source_line,
    }
}

/// What the stars in a line of settings are.
const MASKED: &str = "* stands for a letter of a value that may be a secret";

/// What the reader of TOML expected, in words of TOML.
fn in_plain_words(expected: &str) -> &str {
    match expected {
        "u64" => "a whole number",
        "a sequence" => "a list, such as [\"a\", \"b\"]",
        "a string" | "literal string" => "a text in quotes",
        "a map" => "a table",
        other => other,
    }
}

/// What to write for a duration that is a number alone, or stands in no quotes.
fn missing_unit(message: &str, line: &str) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.split('#').next()?.trim());
    let is_duration =
        ["commit_every", "checkpoint_every", "checkpoint_pause", "checkpoint_timeout", "compact_every", "retention"]
            .contains(&key);
    let number = value.trim_matches('"');
    if !is_duration || !value.starts_with(|first: char| first.is_ascii_digit() || first == '"') {
        return None;
    }
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    let unquoted = message.contains("must be quoted").then(|| format!("write {key} = \"{value}\""));
    if is_number { Some(format!("write {key} = \"{number}s\", with a unit: ms, s, m, h or d")) } else { unquoted }
}

/// The key that is meant by one that the settings do not have: both stand in what the reader of TOML says, in marks.
fn wrong_key(message: &str, expected: Option<&str>) -> Option<String> {
    let wrong = message.strip_prefix("unknown field `")?.split('`').next()?;
    did_you_mean(wrong, expected?.split('`').skip(1).step_by(2))
}

impl Config {
    /// Reads a `riverrun.toml`. Unknown keys are errors that name the line.
    pub fn read(path: &Path) -> Result<Config, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::invalid(format!("project file {} cannot be read", path.display())).with_source(error)
        })?;
        let config: Config = toml::from_str(&text).map_err(|error| {
            Failure::Diagnostics(vec![placed(path, &text, error.span().unwrap_or_default(), error.message())])
        })?;
        config.refuse_secrets(path, &text)?;
        let wrong = config.environments.values().flat_map(Environment::wrong_names);
        let wrong: Vec<_> = wrong.map(|(span, what)| placed(path, &text, span, &what)).collect();
        if !wrong.is_empty() {
            return Err(Failure::Diagnostics(wrong));
        }
        if let Some(CheckpointEvery(every)) = config.project.checkpoint_every
            && every > config.commit_every()
        {
            let shown = |duration: Duration| match duration.as_millis() {
                millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
                millis => format!("{millis}ms"),
            };
            return Err(Error::invalid(format!(
                "{}: project.checkpoint_every is {}, expected at most commit_every, which is {}: every commit is a \
                 checkpoint; leave checkpoint_every out, or make it shorter",
                path.display(),
                shown(every),
                shown(config.commit_every())
            ))
            .into());
        }
        Ok(config)
    }

    /// Refuses secrets that stand in the file, unless they are those of somebody's own machine.
    fn refuse_secrets(&self, path: &Path, text: &str) -> Result<(), Failure> {
        let plain = |(name, environment): (&String, &Environment)| {
            let of_live = environment.live.plain_secrets().iter().cloned();
            let of_checkpoints = environment.checkpoints.iter().flat_map(|place| place.plain_secrets()).cloned();
            let secrets = environment.history.plain_secrets().iter().cloned().chain(of_live).chain(of_checkpoints);
            let told = |(span, what): (std::ops::Range<usize>, &str)| {
                let what = format!("environment \"{name}\" has {what} in plain text, expected {SECRET_EXPECTED}");
                placed(path, text, span, &what)
            };
            secrets.filter(|_| name != OWN_MACHINE).map(told).collect::<Vec<_>>()
        };
        match self.environments.iter().flat_map(plain).collect::<Vec<_>>() {
            plain if plain.is_empty() => Ok(()),
            plain => Err(Failure::Diagnostics(plain)),
        }
    }

    /// The settings of a project that has no `riverrun.toml`: everything on disk beside it.
    pub fn embedded(name: &str) -> Config {
        let dev = Environment {
            history: History::in_folder("warehouse"),
            live: Live::in_folder("topics"),
            checkpoints: None,
            state_memory: StateBytes::default(),
            names: BTreeMap::new(),
        };
        Config {
            project: About {
                name: name.to_owned(),
                commit_every: CommitEvery::default(),
                checkpoint_every: None,
                checkpoint_pause: None,
                checkpoint_timeout: CheckpointTimeout::default(),
                checkpoints_kept: CheckpointsKept::default(),
                compact_every: None,
            },
            environments: BTreeMap::from([("dev".to_owned(), dev)]),
            jobs: BTreeMap::new(),
        }
    }

    /// How often tables are committed while a job runs.
    pub fn commit_every(&self) -> Duration {
        self.project.commit_every.0
    }

    /// How often checkpoints are taken while a job runs, beside those at commits.
    pub fn checkpoint_every(&self) -> Option<Duration> {
        self.project.checkpoint_every.map(|every| every.0)
    }

    /// How long after a checkpoint the next one begins at the earliest.
    pub fn checkpoint_pause(&self) -> Duration {
        let every = self.checkpoint_every().unwrap_or(self.commit_every());
        self.project.checkpoint_pause.unwrap_or(CheckpointPause::of(every)).0
    }

    /// One environment by name.
    pub fn environment(&self, name: &str) -> Result<Environment> {
        if let Some(environment) = self.environments.get(name) {
            return Ok(environment.clone());
        }
        if name == "dev" && self.environments.is_empty() {
            return Config::embedded(&self.project.name).environment(name);
        }
        let known: Vec<_> = self.environments.keys().map(String::as_str).collect();
        let known =
            near_or_all(name, known.into_iter(), "its environments are:", "without [env.NAME] there is dev alone");
        Err(Error::invalid(format!("riverrun.toml has no environment \"{name}\"; {known}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_refused() {
        for (text, ms) in [("500ms", 500), ("1s", 1_000), ("60s", 60_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(text.parse::<CommitEvery>().unwrap().0, Duration::from_millis(ms), "{text}");
        }
        for (text, what) in [
            ("", "is not a duration"),
            ("s", "is not a duration"),
            ("60", "has no unit"),
            ("1 s", "is not a duration"),
            ("-1s", "is not a duration"),
            ("1.5s", "is not a duration"),
            ("1w", "is not a duration"),
            ("0s", "is too short"),
            ("99ms", "is too short"),
            ("25h", "is too long"),
            ("2d", "is too long"),
            ("18446744073709551615h", "is too long"),
        ] {
            let error = text.parse::<CommitEvery>().unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("such as 500ms"), "{error}");
        }
    }

    #[test]
    fn the_interval_of_commits_is_a_key_of_the_project() {
        let read = |line: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("riverrun.toml");
            std::fs::write(&path, format!("[project]\nname = \"a\"\n{line}\n")).unwrap();
            Config::read(&path)
        };
        assert_eq!(read("").ok().unwrap().commit_every(), Duration::from_secs(60));
        assert_eq!(read("commit_every = \"1s\"").ok().unwrap().commit_every(), Duration::from_secs(1));
        assert_eq!(read("").ok().unwrap().checkpoint_every(), None);
        let often = read("checkpoint_every = \"10s\"").ok().unwrap();
        assert_eq!(often.checkpoint_every(), Some(Duration::from_secs(10)));
        assert_eq!(read("").ok().unwrap().checkpoint_pause(), Duration::from_secs(6));
        assert_eq!(often.checkpoint_pause(), Duration::from_secs(1));
        assert_eq!(read("checkpoint_pause = \"0s\"").ok().unwrap().checkpoint_pause(), Duration::ZERO);
        assert_eq!(read("").ok().unwrap().project.checkpoint_timeout.0, Duration::from_secs(120));
        let soon = read("checkpoint_timeout = \"30s\"").ok().unwrap();
        assert_eq!(soon.project.checkpoint_timeout.0, Duration::from_secs(30));
        let Err(Failure::Error(seldom)) = read("checkpoint_every = \"2m\"") else { panic!("it is refused") };
        assert!(seldom.to_string().contains("is 120s, expected at most commit_every, which is 60s"), "{seldom}");
        for (line, hint) in [
            ("commit_every = 5", "write commit_every = \"5s\", with a unit"),
            ("checkpoint_timeout = 5", "write checkpoint_timeout = \"5s\", with a unit"),
            ("checkpoint_pause = 5", "write checkpoint_pause = \"5s\", with a unit"),
            ("commit_every = \"5\"", "write commit_every = \"5s\", with a unit"),
            ("checkpoint_every = 5s # soon", "write checkpoint_every = \"5s\""),
            ("comit_every = \"5s\"", "did you mean \"commit_every\"?; * stands for a letter of a value"),
            ("description = \"my shop\"", "* stands for a letter of a value that may be a secret"),
        ] {
            let Err(Failure::Diagnostics(wrong)) = read(line) else { panic!("it is refused: {line}") };
            assert_eq!(wrong[0].line, 3, "{line}");
            assert!(wrong[0].hint.as_ref().is_some_and(|said| said.starts_with(hint)), "{line}: {:?}", wrong[0]);
        }
        let Err(Failure::Diagnostics(wrong)) = read("checkpoints_kept = \"3\"") else { panic!("it is refused") };
        assert_eq!((wrong[0].expected.as_deref(), wrong[0].hint.as_deref()), (Some("a whole number"), None));
        let in_a_store =
            "[env.prod]\nhistory = { warehouse = \"w\" }\nlive = { topics = \"t\" }\ncheckpoints = \"s3://lake/c\"";
        assert!(read(in_a_store).is_ok());
        let plain = "checkpoints = { location = \"s3://l/c\", s3 = { access_key = \"k\", secret_key = \"CANARY\" } }";
        let plain = in_a_store.replace("checkpoints = \"s3://lake/c\"", plain);
        let Err(Failure::Diagnostics(wrong)) = read(&plain) else { panic!("it is refused") };
        assert!(wrong[0].message.contains("has the secret key of S3 in plain text"), "{}", wrong[0].message);
        assert!(!wrong[0].source_line.contains("CANARY"), "{}", wrong[0].source_line);
        let small = "[env.dev]\nhistory = { warehouse = \"w\" }\nlive = { topics = \"t\" }\nstate_memory = \"2 MB\"";
        let Err(Failure::Diagnostics(wrong)) = read(small) else { panic!("it is refused") };
        assert_eq!((wrong[0].line, wrong[0].message.as_str()), (6, "\"2 MB\" has an unknown unit"));
        let small = read(&small.replace("MB", "MiB")).ok().unwrap();
        assert_eq!(small.environment("dev").unwrap().state_memory.0, 2 << 20);
        let Err(Failure::Diagnostics(wrong)) = read("commit_every = \"1 day\"") else { panic!("it is refused") };
        assert_eq!(wrong[0].line, 3);
        assert!(wrong[0].message.contains("\"1 day\" is not a duration"), "{}", wrong[0].message);
    }
}
