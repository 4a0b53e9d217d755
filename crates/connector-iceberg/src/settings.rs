//! How a REST catalog is reached, as the settings of a project say it.

use access::Secret;
use object_stores::StoreSettings;
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
    /// The object stores.
    pub stores: StoreSettings,
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
            stores: StoreSettings::default(),
        }
    }
}
