//! Where the topics of an environment are: the key `live` of `riverrun.toml`.

use crate::duration::duration;
use crate::placed_text::{PlacedText, PlainSecrets, inner};
use access::{ClientCredentials, Secret};
use connector_pulsar::{
    Authentication, ClientCertificate, Namespace, Service, Settings, Tls, TokenServer, TopicPattern,
};
use dataflow::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// Where topics are, and how long what is in them is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "LiveKeys")]
pub struct Live {
    /// A folder or a cluster.
    pub place: TopicPlace,
    /// How long messages of local topics are kept at least; for ever without this key.
    pub retention: Option<Retention>,
    plain_secrets: PlainSecrets,
}

/// What holds topics.
#[derive(Clone, Debug)]
pub enum TopicPlace {
    /// The folder of the local topics, relative to the project.
    Folder(PathBuf),
    /// A namespace of a Pulsar cluster.
    Pulsar(Box<PulsarPlace>),
}

/// A namespace of a Pulsar cluster, and how it is entered.
#[derive(Clone, Debug)]
pub struct PulsarPlace {
    /// Any of its brokers, or a proxy.
    pub service: Service,
    /// The namespace of all topics.
    pub namespace: Namespace,
    /// How the anchors of jobs are called, if there are any.
    pub anchors: AnchorNames,
    /// Names that stand for all topics of the namespace whose names match a pattern, each with that.
    pub patterns: BTreeMap<String, String>,
    entry: Entry,
    tls: Tls,
}

/// How the subscriptions are called that keep what jobs have not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorNames {
    /// There are none: what the namespace keeps by itself is all.
    None,
    /// They begin with this.
    With(String),
}

/// How a client shows who it is; files are relative to the project.
#[derive(Clone, Debug)]
enum Entry {
    /// By its certificate, or not at all.
    Connection,
    Token(Secret),
    Basic {
        user: String,
        password: Secret,
    },
    TokenServer(ClientCredentials),
}

impl PulsarPlace {
    /// How the cluster is reached, with files found from the project's folder.
    pub fn settings(&self, root: &Path) -> Result<Settings> {
        let mut settings = Settings::new(self.service.clone());
        let within = |path: &PathBuf| root.join(path);
        settings.tls = Tls {
            ca: self.tls.ca.as_ref().map(within),
            client: self
                .tls
                .client
                .as_ref()
                .map(|client| ClientCertificate { certificate: within(&client.certificate), key: within(&client.key) }),
        };
        settings.authentication = match self.entry.clone() {
            Entry::Connection => None,
            Entry::Token(token) => Some(Authentication::Token(token.within(root))),
            Entry::Basic { user, password } => Some(Authentication::Basic { user, password: password.within(root) }),
            Entry::TokenServer(client) => {
                let client = ClientCredentials { credential: client.credential.within(root), ..client };
                let ca = settings.tls.ca.as_ref().map(|ca| {
                    let failed = |error| Error::of_file(format!("cannot read ca \"{}\"", ca.display()), error);
                    std::fs::read(ca).map_err(failed)
                });
                let server = TokenServer::new(client, &ca.transpose()?.unwrap_or_default())?;
                Some(Authentication::TokenServer(Arc::new(server)))
            }
        };
        Ok(settings)
    }
}

impl Live {
    /// Topics in a folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Live {
        Live { place: TopicPlace::Folder(folder.into()), retention: None, plain_secrets: PlainSecrets::default() }
    }

    /// Where secrets stand that are written out, each with what it is.
    pub fn plain_secrets(&self) -> &[(Range<usize>, &'static str)] {
        self.plain_secrets.all()
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
    token: Option<Spanned<PlacedText>>,
    user: Option<String>,
    password: Option<Spanned<PlacedText>>,
    credential: Option<Spanned<PlacedText>>,
    oauth2_uri: Option<String>,
    scope: Option<String>,
    audience: Option<String>,
    ca: Option<PlacedText>,
    certificate: Option<PlacedText>,
    key: Option<PlacedText>,
    anchors: Option<AnchorsKey>,
    #[serde(default)]
    patterns: BTreeMap<String, String>,
    retention: Option<Retention>,
}

impl LiveKeys {
    /// Whether there are keys that only a cluster has.
    fn names_cluster(&self) -> bool {
        let secrets = [&self.token, &self.password, &self.credential].into_iter().any(Option::is_some);
        let texts = [&self.user, &self.oauth2_uri, &self.scope, &self.audience].into_iter().any(Option::is_some);
        let files = [&self.ca, &self.certificate, &self.key].into_iter().any(Option::is_some);
        secrets || texts || files || self.namespace.is_some() || self.anchors.is_some() || !self.patterns.is_empty()
    }

    fn plain_secrets(&self) -> PlainSecrets {
        let mut plain = PlainSecrets::default();
        let secrets = [
            (&self.token, "the token of Pulsar"),
            (&self.password, "the password of Pulsar"),
            (&self.credential, "the credential of Pulsar"),
        ];
        for (secret, what) in secrets {
            secret.iter().for_each(|secret| plain.look(secret, what));
        }
        plain
    }
}

impl TryFrom<LiveKeys> for Live {
    type Error = Error;

    fn try_from(keys: LiveKeys) -> Result<Self> {
        let (plain_secrets, retention) = (keys.plain_secrets(), keys.retention);
        let place = match (&keys.topics, &keys.pulsar) {
            (Some(_), Some(_)) => return Err(wrong("it names both a folder and a cluster")),
            (None, None) => return Err(wrong("it does not say where topics are")),
            (Some(_), None) if keys.names_cluster() => {
                return Err(wrong("topics names a folder, and other keys are of a cluster of Pulsar"));
            }
            (Some(topics), None) => TopicPlace::Folder(topics.clone()),
            (None, Some(_)) if retention.is_some() => {
                return Err(Error::invalid(
                    "retention is of local topics, expected none beside pulsar: that of Pulsar is set in its cluster",
                ));
            }
            (None, Some(service)) => {
                let service = service.0.clone();
                let namespace = keys.namespace.as_ref().map(|name| name.0.clone()).unwrap_or_default();
                let anchors = keys.anchors.as_ref().map_or_else(AnchorNames::usual, |anchors| anchors.0.clone());
                let patterns = patterns(&keys, &anchors)?;
                TopicPlace::Pulsar(Box::new(PulsarPlace {
                    patterns,
                    tls: tls(&keys, &service)?,
                    entry: entry(keys)?,
                    service,
                    namespace,
                    anchors,
                }))
            }
        };
        Ok(Live { place, retention, plain_secrets })
    }
}

/// The patterns, once they can be read and kept.
fn patterns(keys: &LiveKeys, anchors: &AnchorNames) -> Result<BTreeMap<String, String>> {
    for (name, pattern) in &keys.patterns {
        if pattern.is_empty() {
            return Err(Error::invalid(format!("the pattern of {name} is empty, expected one such as \"{name}-.*\"")));
        }
        TopicPattern::new(pattern, String::new(), String::new())?;
    }
    match anchors {
        AnchorNames::None if !keys.patterns.is_empty() => Err(Error::invalid(
            "patterns need a subscription that keeps the list of their topics, expected no anchors = false beside them",
        )),
        _ => Ok(keys.patterns.clone()),
    }
}

fn tls(keys: &LiveKeys, service: &Service) -> Result<Tls> {
    let has_files = [&keys.ca, &keys.certificate, &keys.key].into_iter().any(Option::is_some);
    if has_files && !service.is_tls {
        let what = "ca, certificate and key are of connections with TLS";
        return Err(Error::invalid(format!("{what}, expected pulsar = \"pulsar+ssl://{}\"", service.address.host)));
    }
    let path = |text: &Option<PlacedText>, key| text.clone().map(|text| text.path(key)).transpose();
    let client = match (path(&keys.certificate, "certificate")?, path(&keys.key, "key")?) {
        (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
        (None, None) => None,
        _ => return Err(Error::invalid("it has one of certificate and key, expected both or none")),
    };
    Ok(Tls { ca: path(&keys.ca, "ca")?, client })
}

fn entry(keys: LiveKeys) -> Result<Entry> {
    let LiveKeys { token, user, password, credential, oauth2_uri, scope, audience, .. } = keys;
    let ways = [token.is_some(), user.is_some() || password.is_some(), credential.is_some()];
    if ways.into_iter().filter(|is_there| *is_there).count() > 1 {
        return Err(Error::invalid(
            "it says in several ways who the client is, expected one of token, user with password, and credential",
        ));
    }
    if credential.is_none() && (oauth2_uri.is_some() || scope.is_some() || audience.is_some()) {
        return Err(Error::invalid(
            "oauth2_uri, scope and audience are of a token server, expected credential beside them",
        ));
    }
    Ok(match (inner(token), user, inner(password), inner(credential)) {
        (Some(token), ..) => Entry::Token(token),
        (_, Some(user), Some(password), _) => Entry::Basic { user, password },
        (_, Some(_), None, _) | (_, None, Some(_), _) => {
            return Err(Error::invalid("it has one of user and password, expected both or none"));
        }
        (.., Some(credential)) => {
            let server = oauth2_uri.ok_or_else(|| {
                Error::invalid(
                    "the credential is for a token server, expected oauth2_uri = \"https://HOST/PATH\" beside it",
                )
            })?;
            let (whose, key) = ("Pulsar", "live");
            Entry::TokenServer(ClientCredentials { credential, server, scope, audience, whose, key })
        }
        _ => Entry::Connection,
    })
}

fn wrong(what: &str) -> Error {
    Error::invalid(format!("{what}, expected topics = \"FOLDER\" or pulsar = \"pulsar://HOST:PORT\""))
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ServiceUrl(Service);

impl TryFrom<String> for ServiceUrl {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Ok(ServiceUrl(Service::parse(&text)?))
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

/// What subscriptions of jobs begin with.
const ANCHOR_PREFIX: &str = "riverrun";

impl AnchorNames {
    fn usual() -> AnchorNames {
        AnchorNames::With(ANCHOR_PREFIX.to_owned())
    }
}

#[derive(Deserialize)]
#[serde(try_from = "toml::Value")]
struct AnchorsKey(AnchorNames);

impl TryFrom<toml::Value> for AnchorsKey {
    type Error = Error;

    fn try_from(value: toml::Value) -> Result<Self> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        match value {
            toml::Value::Boolean(false) => Ok(AnchorsKey(AnchorNames::None)),
            toml::Value::Boolean(true) => Ok(AnchorsKey(AnchorNames::usual())),
            toml::Value::String(prefix) if !prefix.is_empty() && prefix.chars().all(is_plain) => {
                Ok(AnchorsKey(AnchorNames::With(prefix)))
            }
            other => Err(Error::invalid(format!(
                "anchors is {other}, expected false, or what the names of subscriptions begin with: letters, digits, _, - \
                 and ."
            ))),
        }
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
            TopicPlace::Pulsar(place) => {
                format!("{} {} {:?} {:?}", place.service, place.namespace, place.entry, place.tls)
            }
            TopicPlace::Folder(folder) => panic!("{folder:?}"),
        };
        let no_tls = "Tls { ca: None, client: None }";
        assert_eq!(pulsar(r#"pulsar = "pulsar://a""#), format!("pulsar://a:6650 public/default Connection {no_tls}"));
        let all = r#"pulsar = "pulsar://a:1", namespace = "t/n", token = "env:TOKEN""#;
        assert_eq!(pulsar(all), format!("pulsar://a:1 t/n Token(Environment(\"TOKEN\")) {no_tls}"));
        let all = r#"pulsar = "pulsar+ssl://a", user = "u", password = "CANARY", ca = "ca.pem",
            certificate = "file:c.pem", key = "c.key""#;
        let read_as = pulsar(&all.replace('\n', " "));
        let tls =
            "Tls { ca: Some(\"ca.pem\"), client: Some(ClientCertificate { certificate: \"c.pem\", key: \"c.key\" }) }";
        let entry = "Basic { user: \"u\", password: Text(..) }";
        assert_eq!(read_as, format!("pulsar+ssl://a:6651 public/default {entry} {tls}"));
        let all = r#"pulsar = "pulsar://a", credential = "file:c", oauth2_uri = "https://t", audience = "x""#;
        assert!(pulsar(all).contains("TokenServer(ClientCredentials { credential: File(\"c\")"), "{}", pulsar(all));
        let anchors = |live: &str| match read(live).unwrap().place {
            TopicPlace::Pulsar(place) => place.anchors,
            TopicPlace::Folder(folder) => panic!("{folder:?}"),
        };
        assert_eq!(anchors(r#"pulsar = "pulsar://a""#), AnchorNames::With("riverrun".to_owned()));
        assert_eq!(anchors(r#"pulsar = "pulsar://a", anchors = false"#), AnchorNames::None);
        assert_eq!(anchors(r#"pulsar = "pulsar://a", anchors = "team-a""#), AnchorNames::With("team-a".to_owned()));
        assert!(matches!(read(r#"topics = "./topics""#).unwrap().place, TopicPlace::Folder(_)));
        for (live, what) in [
            ("", "it does not say where topics are"),
            (r#"topics = "a", pulsar = "pulsar://a""#, "it names both a folder and a cluster"),
            (r#"topics = "a", namespace = "t/n""#, "other keys are of a cluster of Pulsar"),
            (r#"topics = "a", audience = "t/n""#, "other keys are of a cluster of Pulsar"),
            (r#"pulsar = "pulsar://a", retention = "7d""#, "retention is of local topics"),
            (r#"pulsar = "a:6650""#, "the scheme is unknown"),
            (r#"pulsar = "pulsar://a", ca = "ca.pem""#, "expected pulsar = \"pulsar+ssl://a\""),
            (r#"pulsar = "pulsar+ssl://a", key = "c.key""#, "one of certificate and key"),
            (r#"pulsar = "pulsar+ssl://a", ca = "env:CA""#, "ca is in the environment"),
            (r#"pulsar = "pulsar://a", namespace = "n""#, "\"n\" is no namespace of Pulsar"),
            (r#"pulsar = "pulsar://a", token = "env:""#, "it names nothing"),
            (r#"pulsar = "pulsar://a", token = " ""#, "it is empty"),
            (r#"pulsar = "pulsar://a", token = 7"#, "it is no text"),
            (r#"pulsar = "pulsar://a", user = "u""#, "one of user and password"),
            (r#"pulsar = "pulsar://a", user = "u", password = "env:P", token = "env:T""#, "in several ways"),
            (r#"pulsar = "pulsar://a", credential = "env:C""#, "expected oauth2_uri"),
            (r#"pulsar = "pulsar://a", scope = "s""#, "expected credential beside them"),
            (r#"topics = "a", anchors = false"#, "other keys are of a cluster of Pulsar"),
            (r#"pulsar = "pulsar://a", anchors = "a/b""#, "expected false, or what the names of subscriptions"),
            (r#"pulsar = "pulsar://a", tenant = "t""#, "unknown field `tenant`"),
            (r#"pulsar = "pulsar://a", patterns = { a = "b(" }"#, "the pattern of topics \"b(\" cannot be read"),
            (
                r#"pulsar = "pulsar://a", patterns = { a = "" }"#,
                "the pattern of a is empty, expected one such as \"a-.*\"",
            ),
            (r#"pulsar = "pulsar://a", anchors = false, patterns = { a = "b" }"#, "expected no anchors = false"),
            (r#"topics = "a", patterns = { a = "b" }"#, "other keys are of a cluster of Pulsar"),
        ] {
            let error = read(live).unwrap_err();
            assert!(error.contains(what), "{live}: {error}");
        }
    }
}
