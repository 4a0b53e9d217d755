//! Where the topics of an environment are: the key `live` of `riverrun.toml`.

use crate::duration::duration;
use connector_pulsar::{Address, Namespace, Token};
use dataflow::{Error, Result};
use serde::Deserialize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// What a token is written as.
pub const TOKEN_EXPECTED: &str = "\"env:NAME\" or \"file:PATH\"";

/// Where topics are, and how long what is in them is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "LiveKeys")]
pub struct Live {
    /// A folder or a cluster.
    pub place: TopicPlace,
    /// How long messages of local topics are kept at least; for ever without this key.
    pub retention: Option<Retention>,
}

/// What holds topics.
#[derive(Clone, Debug)]
pub enum TopicPlace {
    /// The folder of the local topics, relative to the project.
    Folder(PathBuf),
    /// A namespace of a Pulsar cluster.
    Pulsar(PulsarPlace),
}

/// A namespace of a Pulsar cluster, and how it is entered.
#[derive(Clone, Debug)]
pub struct PulsarPlace {
    /// Any of its brokers, or a proxy.
    pub service: Address,
    /// The namespace of all topics.
    pub namespace: Namespace,
    /// The client's token; files are relative to the project.
    pub token: Option<Token>,
    // Where the token stands in the settings.
    token_at: Range<usize>,
}

impl PulsarPlace {
    /// The token with its file found from the project's folder.
    pub fn token_in(&self, root: &Path) -> Option<Token> {
        self.token.clone().map(|token| match token {
            Token::File(path) => Token::File(root.join(path)),
            other => other,
        })
    }
}

impl Live {
    /// Where a token stands that is written out.
    pub fn plain_token(&self) -> Option<Range<usize>> {
        match &self.place {
            TopicPlace::Pulsar(PulsarPlace { token: Some(Token::Text(_)), token_at, .. }) => Some(token_at.clone()),
            _ => None,
        }
    }
}

/// The keys as they can be written.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { topics = \"./topics\" } or { pulsar = \"pulsar://localhost:6650\" }"
)]
struct LiveKeys {
    topics: Option<PathBuf>,
    pulsar: Option<ServiceUrl>,
    namespace: Option<NamespaceName>,
    token: Option<Spanned<TokenPlace>>,
    retention: Option<Retention>,
}

impl TryFrom<LiveKeys> for Live {
    type Error = Error;

    fn try_from(keys: LiveKeys) -> Result<Self> {
        let LiveKeys { topics, pulsar, namespace, token, retention } = keys;
        let place = match (topics, pulsar) {
            (Some(topics), None) if namespace.is_none() && token.is_none() => TopicPlace::Folder(topics),
            (Some(_), None) => return Err(wrong("namespace and token are of Pulsar, and topics names a folder")),
            (None, Some(_)) if retention.is_some() => {
                return Err(Error::invalid(
                    "retention is of local topics, expected none beside pulsar: that of Pulsar is set in its cluster",
                ));
            }
            (None, Some(service)) => TopicPlace::Pulsar(PulsarPlace {
                service: service.0,
                namespace: namespace.map(|namespace| namespace.0).unwrap_or_default(),
                token_at: token.as_ref().map(Spanned::span).unwrap_or_default(),
                token: token.map(|token| token.into_inner().0),
            }),
            (Some(_), Some(_)) => return Err(wrong("it names both a folder and a cluster")),
            (None, None) => return Err(wrong("it does not say where topics are")),
        };
        Ok(Live { place, retention })
    }
}

fn wrong(what: &str) -> Error {
    Error::invalid(format!("{what}, expected topics = \"FOLDER\" or pulsar = \"pulsar://HOST:PORT\""))
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ServiceUrl(Address);

impl TryFrom<String> for ServiceUrl {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Ok(ServiceUrl(Address::parse(&text)?))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct NamespaceName(Namespace);

impl TryFrom<String> for NamespaceName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Ok(NamespaceName(Namespace::parse(&text)?))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "toml::Value")]
struct TokenPlace(Token);

impl TryFrom<toml::Value> for TokenPlace {
    type Error = Error;

    // No error shows the value, which may be the secret.
    fn try_from(value: toml::Value) -> Result<Self> {
        let nothing = |what: &str| Err(Error::invalid(format!("the token {what}, expected {TOKEN_EXPECTED}")));
        let toml::Value::String(text) = value else { return nothing("is no text") };
        Ok(TokenPlace(match text.split_once(':') {
            Some(("env" | "file", "")) => return nothing("names nothing"),
            Some(("env", name)) => Token::Environment(name.to_owned()),
            Some(("file", path)) => Token::File(path.into()),
            _ if text.trim().is_empty() => return nothing("is empty"),
            _ => Token::Text(text),
        }))
    }
}

/// How long messages of local topics are kept at least. What no archive holds yet is kept longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Retention(pub Duration);

impl TryFrom<String> for Retention {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let range = Duration::from_secs(60)..=Duration::from_secs(3650 * 24 * 3600);
        duration(&text, range, "a number and a unit from 1m to 3650d, such as 12h or 7d").map(Retention)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(live: &str) -> std::result::Result<Live, String> {
        #[derive(Deserialize)]
        struct File {
            live: Live,
        }
        let file: std::result::Result<File, toml::de::Error> = toml::from_str(&format!("live = {{ {live} }}"));
        file.map(|file| file.live).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn places_of_topics_are_read_or_refused() {
        let pulsar = |live: &str| match read(live).unwrap().place {
            TopicPlace::Pulsar(place) => format!("{} {} {:?}", place.service, place.namespace, place.token),
            TopicPlace::Folder(folder) => panic!("{folder:?}"),
        };
        assert_eq!(pulsar(r#"pulsar = "pulsar://a""#), "a:6650 public/default None");
        let all = r#"pulsar = "pulsar://a:1", namespace = "t/n", token = "env:TOKEN""#;
        assert_eq!(pulsar(all), "a:1 t/n Some(Environment(\"TOKEN\"))");
        assert!(matches!(read(r#"topics = "./topics""#).unwrap().place, TopicPlace::Folder(_)));
        for (live, what) in [
            ("", "it does not say where topics are"),
            (r#"topics = "a", pulsar = "pulsar://a""#, "it names both a folder and a cluster"),
            (r#"topics = "a", namespace = "t/n""#, "namespace and token are of Pulsar"),
            (r#"pulsar = "pulsar://a", retention = "7d""#, "retention is of local topics"),
            (r#"pulsar = "a:6650""#, "the scheme is unknown"),
            (r#"pulsar = "pulsar+ssl://a""#, "connections with TLS are not supported"),
            (r#"pulsar = "pulsar://a", namespace = "n""#, "\"n\" is no namespace of Pulsar"),
            (r#"pulsar = "pulsar://a", token = "env:""#, "the token names nothing"),
            (r#"pulsar = "pulsar://a", token = " ""#, "the token is empty"),
            (r#"pulsar = "pulsar://a", token = 7"#, "the token is no text"),
            (r#"pulsar = "pulsar://a", tenant = "t""#, "unknown field `tenant`"),
        ] {
            let error = read(live).unwrap_err();
            assert!(error.contains(what), "{live}: {error}");
        }
    }
}
