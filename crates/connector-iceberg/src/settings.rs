//! How a REST catalog and an object store are reached, as the settings of a project say it.

use access::Secret;
use std::path::PathBuf;
use std::time::Duration;

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
