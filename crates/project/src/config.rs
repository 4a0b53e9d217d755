//! `riverrun.toml`: text becomes typed values once, here.

use crate::open::Failure;
use dataflow::{Error, Result};
use serde::Deserialize;
use sql::Diagnostic;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
#[serde(deny_unknown_fields)]
pub struct About {
    /// The name; letters, digits, `_` and `-`.
    pub name: String,
}

/// Where the names of a project live in one environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Where tables are.
    pub history: History,
    /// Where topics are.
    pub live: Live,
}

/// Where tables are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { warehouse = \"./warehouse\" }")]
pub struct History {
    /// The folder of a warehouse with its own catalog, relative to the project.
    pub warehouse: PathBuf,
}

/// Where topics are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { topics = \"./topics\" }")]
pub struct Live {
    /// The folder of the local topics, relative to the project.
    pub topics: PathBuf,
}

/// A set of outputs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobConfig {
    /// Decisions and INSERT targets by name; `lake.*` is all of a namespace.
    pub outputs: Vec<String>,
}

/// What is wrong at some bytes of a settings file.
pub fn placed(path: &Path, text: &str, bytes: std::ops::Range<usize>, message: &str) -> Diagnostic {
    let start = (0..=bytes.start.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let source_line = text[line_start..].lines().next().unwrap_or_default().to_owned();
    let rest = source_line.chars().count().saturating_sub(before[line_start..].chars().count());
    let (message, expected) = match message.split_once(", expected ") {
        Some((message, expected)) => (message, Some(expected.to_owned())),
        None => (message, None),
    };
    Diagnostic {
        path: path.to_string_lossy().into_owned(),
        line: before.matches('\n').count() as u64 + 1,
        column: before[line_start..].chars().count() as u64 + 1,
        span_len: bytes.len().clamp(1, rest.max(1)) as u64,
        message: message.to_owned(),
        found: None,
        expected,
        hint: None,
        source_line,
    }
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
        let name = &config.project.name;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            return Err(Error::invalid(format!(
                "{}: project.name is {name:?}, expected letters, digits, _ and -",
                path.display()
            ))
            .into());
        }
        Ok(config)
    }

    /// The settings of a project that has no `riverrun.toml`: everything on disk beside it.
    pub fn embedded(name: &str) -> Config {
        let dev =
            Environment { history: History { warehouse: "warehouse".into() }, live: Live { topics: "topics".into() } };
        Config {
            project: About { name: name.to_owned() },
            environments: BTreeMap::from([("dev".to_owned(), dev)]),
            jobs: BTreeMap::new(),
        }
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
        Err(Error::invalid(format!("no environment {name:?} in riverrun.toml; there are: {}", known.join(", "))))
    }
}
