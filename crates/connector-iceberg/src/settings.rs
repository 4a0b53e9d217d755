//! How a REST catalog and an object store are reached, as the settings of a project say it.

use dataflow::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A text that may be a secret: as it stands, in a variable of the environment, or in a file. It is read anew whenever it
/// is used, so that a file may be replaced.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text itself.
    Text(String),
    /// The name of a variable.
    Environment(String),
    /// The path of a file.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("Text(..)"),
            Secret::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
            Secret::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Secret {
    /// Reads `env:NAME`, `file:PATH` or the text itself. Errors never show it.
    pub fn parse(text: &str) -> Result<Secret> {
        match text.split_once(':') {
            Some(("env" | "file", "")) => Err(Error::invalid("it names nothing")),
            Some(("env", name)) => Ok(Secret::Environment(name.to_owned())),
            Some(("file", path)) => Ok(Secret::File(path.into())),
            _ if text.trim().is_empty() => Err(Error::invalid("it is empty")),
            _ => Ok(Secret::Text(text.to_owned())),
        }
    }

    /// The same, whose file is found from a folder.
    pub fn within(self, folder: &Path) -> Secret {
        match self {
            Secret::File(path) => Secret::File(folder.join(path)),
            other => other,
        }
    }

    /// The text as it is now. `what` says in errors whose it is.
    pub fn read(&self, what: &str) -> Result<String> {
        let text = match self {
            Secret::Text(text) => text.clone(),
            Secret::Environment(name) => std::env::var(name)
                .map_err(|_| Error::invalid(format!("the environment variable {name} with {what} is not set")))?,
            Secret::File(path) => std::fs::read_to_string(path).map_err(|error| {
                Error::invalid(format!("the file {} with {what} cannot be read", path.display())).with_source(error)
            })?,
        };
        match text.trim() {
            "" => Err(Error::invalid(format!("{what} is empty"))),
            text => Ok(text.to_owned()),
        }
    }
}

/// A REST catalog, and how it is entered.
#[derive(Clone, Debug)]
pub struct RestSettings {
    /// `https://HOST[:PORT][/PATH]`, without the version of the interface.
    pub uri: String,
    /// The warehouse that is asked for, where a catalog has several.
    pub warehouse: Option<String>,
    /// A bearer token.
    pub token: Option<Secret>,
    /// `ID:SECRET` of a client, for which the token server gives tokens.
    pub credential: Option<Secret>,
    /// The token server, where it is not the catalog.
    pub oauth2_uri: Option<String>,
    /// What tokens are asked for.
    pub scope: Option<String>,
    /// Headers of every request.
    pub headers: Vec<(String, Secret)>,
    /// Certificates that are trusted beside those of the system, as PEM.
    pub ca: Option<PathBuf>,
    /// How long a request may take.
    pub timeout: Duration,
    /// The object store.
    pub s3: S3Settings,
}

impl RestSettings {
    /// Settings that say no more than where the catalog is.
    pub fn new(uri: impl Into<String>) -> RestSettings {
        RestSettings {
            uri: uri.into(),
            warehouse: None,
            token: None,
            credential: None,
            oauth2_uri: None,
            scope: None,
            headers: Vec::new(),
            ca: None,
            timeout: Duration::from_secs(60),
            s3: S3Settings::default(),
        }
    }
}

/// How S3 is reached, where the catalog does not say it. Without keys those of the environment and of the machine are used.
#[derive(Clone, Debug, Default)]
pub struct S3Settings {
    /// `https://HOST[:PORT]`, where it is not that of AWS.
    pub endpoint: Option<String>,
    /// The region of the buckets.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host.
    pub path_style: Option<bool>,
    /// The id of the access key.
    pub access_key: Option<Secret>,
    /// The secret access key.
    pub secret_key: Option<Secret>,
    /// The token of temporary keys.
    pub session_token: Option<Secret>,
}
