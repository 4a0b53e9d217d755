//! Where the tables of an environment are: the key `history` of `riverrun.toml`.

use crate::duration::duration;
use crate::placed_text::{PlacedText, PlainSecrets, inner};
use crate::store_keys::{AzureKeys, GcsKeys, S3Keys, StoreKeys};
use access::Secret;
use connector_iceberg::RestSettings;
use dataflow::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Where tables are.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "HistoryKeys")]
pub struct History {
    /// A folder or a catalog.
    pub place: TablePlace,
    // Where secrets stand that are written out, and what they are.
    plain_secrets: PlainSecrets,
}

/// What holds tables.
#[derive(Clone, Debug)]
pub enum TablePlace {
    /// The folder of a warehouse with its own catalog, relative to the project.
    Folder(PathBuf),
    /// A REST catalog.
    Rest(Box<RestPlace>),
}

/// A REST catalog as the settings have it: texts that may lie in the environment or in files, which are relative to the
/// project.
#[derive(Clone, Debug)]
pub struct RestPlace(RestKeys);

#[derive(Clone, Debug)]
struct RestKeys {
    catalog: Secret,
    warehouse: Option<Secret>,
    token: Option<Secret>,
    credential: Option<Secret>,
    oauth2_uri: Option<Secret>,
    scope: Option<Secret>,
    headers: BTreeMap<String, Secret>,
    ca: Option<PathBuf>,
    timeout: Option<Duration>,
    stores: StoreKeys,
}

impl History {
    /// Tables in a folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> History {
        History { place: TablePlace::Folder(folder.into()), plain_secrets: PlainSecrets::default() }
    }

    /// Where secrets stand that are written out, each with what it is.
    pub fn plain_secrets(&self) -> &[(Range<usize>, &'static str)] {
        self.plain_secrets.all()
    }
}

impl RestPlace {
    /// The address of the catalog, for messages to people; where it is in the environment or in a file, that.
    pub fn address(&self) -> String {
        match &self.0.catalog {
            Secret::Text(text) => text.clone(),
            Secret::Environment(name) => format!("env:{name}"),
            Secret::File(path) => format!("file:{}", path.display()),
        }
    }

    /// The keys of its stores, and the certificates that are trusted.
    pub fn store_keys(&self) -> (&StoreKeys, Option<&Path>) {
        (&self.0.stores, self.0.ca.as_deref())
    }

    /// How the catalog is reached. What lies in the environment or in a file and is no secret is read here.
    pub fn settings(&self, root: &Path) -> Result<RestSettings> {
        let keys = &self.0;
        let text = |text: &Option<Secret>, key: &str| {
            let text = text.clone().map(|text| text.within(root).read(&format!("key {key} of history")));
            text.transpose()
        };
        let secret = |secret: &Option<Secret>| secret.clone().map(|secret| secret.within(root));
        let uri = text(&Some(keys.catalog.clone()), "catalog")?.unwrap_or_default();
        let mut settings = RestSettings::new(uri.strip_prefix("rest+").unwrap_or(&uri));
        settings.warehouse = text(&keys.warehouse, "warehouse")?;
        settings.token = secret(&keys.token);
        settings.credential = secret(&keys.credential);
        settings.oauth2_uri = text(&keys.oauth2_uri, "oauth2_uri")?;
        settings.scope = text(&keys.scope, "scope")?;
        settings.headers =
            keys.headers.iter().map(|(name, value)| (name.clone(), value.clone().within(root))).collect();
        settings.ca = keys.ca.as_ref().map(|ca| root.join(ca));
        settings.timeout = keys.timeout.unwrap_or(settings.timeout);
        settings.stores = keys.stores.settings(root, "history")?;
        Ok(settings)
    }
}

/// The keys as they can be written.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { warehouse = \"./warehouse\" } or { catalog = \"https://HOST\", warehouse = \"NAME\" }"
)]
struct HistoryKeys {
    warehouse: Option<PlacedText>,
    catalog: Option<PlacedText>,
    token: Option<Spanned<PlacedText>>,
    credential: Option<Spanned<PlacedText>>,
    oauth2_uri: Option<PlacedText>,
    scope: Option<PlacedText>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<PlacedText>>,
    ca: Option<PlacedText>,
    timeout: Option<RequestTimeout>,
    s3: Option<S3Keys>,
    gcs: Option<GcsKeys>,
    azure: Option<AzureKeys>,
}

impl TryFrom<HistoryKeys> for History {
    type Error = Error;

    fn try_from(keys: HistoryKeys) -> Result<Self> {
        let HistoryKeys {
            warehouse,
            catalog,
            token,
            credential,
            oauth2_uri,
            scope,
            headers,
            ca,
            timeout,
            s3,
            gcs,
            azure,
        } = keys;
        let Some(catalog) = catalog else {
            let only_catalogs = [token.is_some(), credential.is_some(), oauth2_uri.is_some(), scope.is_some()];
            let others = [!headers.is_empty(), ca.is_some(), timeout.is_some()];
            let stores = [s3.is_some(), gcs.is_some(), azure.is_some()];
            if only_catalogs.into_iter().chain(others).chain(stores).any(|is_there| is_there) {
                return Err(wrong("its keys are of a REST catalog, and no catalog is named"));
            }
            return match warehouse.map(|warehouse| warehouse.0) {
                Some(Secret::Text(folder)) if !folder.contains("://") => Ok(History::in_folder(folder)),
                Some(Secret::Text(_)) => Err(wrong("a warehouse that is no folder needs a catalog")),
                Some(_) => Err(wrong("the warehouse is no folder")),
                None => Err(wrong("it does not say where tables are")),
            };
        };
        if token.is_some() && credential.is_some() {
            return Err(Error::invalid("it has both a token and a credential, expected one of them"));
        }
        let stores =
            StoreKeys { s3: s3.unwrap_or_default(), gcs: gcs.unwrap_or_default(), azure: azure.unwrap_or_default() };
        stores.check()?;
        let mut plain_secrets = PlainSecrets::default();
        let mut look = |secret: &Spanned<PlacedText>, what| plain_secrets.look(secret, what);
        token.iter().for_each(|secret| look(secret, "the token of its catalog"));
        credential.iter().for_each(|secret| look(secret, "the credential of its catalog"));
        headers.iter().filter(|(name, _)| may_be_secret(name)).for_each(|(_, value)| {
            look(value, "a header of its catalog");
        });
        stores.look(&mut plain_secrets);
        let ca = ca.map(|ca| ca.path("ca")).transpose()?;
        let place = TablePlace::Rest(Box::new(RestPlace(RestKeys {
            catalog: catalog.0,
            warehouse: warehouse.map(|text| text.0),
            token: inner(token),
            credential: inner(credential),
            oauth2_uri: oauth2_uri.map(|text| text.0),
            scope: scope.map(|text| text.0),
            headers: headers.into_iter().map(|(name, value)| (name, value.into_inner().0)).collect(),
            ca,
            timeout: timeout.map(|timeout| timeout.0),
            stores,
        })));
        Ok(History { place, plain_secrets })
    }
}

/// Whether what a header holds lets somebody in, by its name.
fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "token", "key", "secret", "password", "cookie"].iter().any(|part| name.contains(part))
}

fn wrong(what: &str) -> Error {
    Error::invalid(format!("{what}, expected warehouse = \"FOLDER\" or catalog = \"https://HOST\""))
}

/// How long a request to a catalog may take.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct RequestTimeout(Duration);

impl TryFrom<String> for RequestTimeout {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let range = Duration::from_millis(100)..=Duration::from_secs(600);
        duration(&text, range, "a number and a unit from 100ms to 10m, such as 30s").map(RequestTimeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(history: &str) -> std::result::Result<History, String> {
        #[derive(Deserialize)]
        struct File {
            history: History,
        }
        let file: std::result::Result<File, toml::de::Error> = toml::from_str(&format!("history = {{ {history} }}"));
        file.map(|file| file.history).map_err(|error| error.message().to_owned())
    }

    fn settings(history: &str) -> RestSettings {
        match read(history).unwrap().place {
            TablePlace::Rest(place) => place.settings(Path::new("/project")).unwrap(),
            TablePlace::Folder(folder) => panic!("{folder:?}"),
        }
    }

    #[test]
    fn places_of_tables_are_read_or_refused() {
        assert!(matches!(read(r#"warehouse = "./w""#).unwrap().place, TablePlace::Folder(_)));
        let all = settings(
            r#"catalog = "rest+https://h:1/x", warehouse = "lake", credential = "env:C", scope = "s", ca = "file:ca.pem",
               oauth2_uri = "https://t", headers = { X-A = "b" }, timeout = "5s",
               s3 = { endpoint = "http://e", region = "r", path_style = true, access_key = "k", secret_key = "file:s" }"#
                .replace('\n', " ")
                .as_str(),
        );
        assert_eq!((all.uri.as_str(), all.warehouse.as_deref()), ("https://h:1/x", Some("lake")));
        assert_eq!(all.credential, Some(Secret::Environment("C".into())));
        assert_eq!((all.ca, all.timeout), (Some("/project/ca.pem".into()), Duration::from_secs(5)));
        assert_eq!(all.stores.s3.secret_key, Some(Secret::File("/project/s".into())));
        for (history, what) in [
            ("", "it does not say where tables are"),
            (r#"warehouse = "s3://lake""#, "a warehouse that is no folder needs a catalog"),
            (r#"warehouse = "w", token = "env:T""#, "its keys are of a REST catalog"),
            (r#"catalog = "https://h", token = "env:A", credential = "env:B""#, "both a token and a credential"),
            (r#"catalog = "https://h", token = 7"#, "it is no text"),
            (r#"catalog = "https://h", token = "env:""#, "it names nothing"),
            (r#"catalog = "https://h", timeout = "5""#, "has no unit"),
            (r#"catalog = "https://h", s3 = { access_key = "k" }"#, "expected both or none"),
            (r#"catalog = "https://h", s3 = { bucket = "k" }"#, "unknown field `bucket`"),
            (r#"catalog = "https://h", gcs = { token = "env:T", service_account = "env:S" }"#, "expected one of them"),
            (r#"catalog = "https://h", gcs = { token = "env:T", anonymous = true }"#, "expected one of them"),
            (r#"catalog = "https://h", azure = { tenant_id = "t" }"#, "expected client_id, and client_secret or"),
            (
                r#"catalog = "https://h", azure = { client_secret = "env:S", client_id = "c" }"#,
                "expected tenant_id and",
            ),
            (r#"catalog = "https://h", azure = { client_id = "c", account_key = "env:K" }"#, "expected one"),
            (
                r#"catalog = "https://h", azure = { tenant_id = "t", client_id = "c", federated_token = "env:T" }"#,
                "expected \"file:PATH\"",
            ),
            (r#"catalog = "https://h", azure = { sas_token = "env:S", account_key = "env:K" }"#, "expected one"),
            (r#"warehouse = "w", gcs = { token = "env:T" }"#, "its keys are of a REST catalog"),
            (r#"catalog = "https://h", uri = "k""#, "unknown field `uri`"),
        ] {
            let error = read(history).unwrap_err();
            assert!(error.contains(what), "{history}: {error}");
        }
    }

    #[test]
    fn secrets_that_are_written_out_are_found_and_never_printed() {
        let plain = |history: &str| {
            let history = read(history).unwrap();
            assert!(!format!("{history:?}").contains("CANARY"), "{history:?}");
            history.plain_secrets().iter().map(|(_, what)| *what).collect::<Vec<_>>()
        };
        assert_eq!(plain(r#"catalog = "https://h", token = "CANARY""#), ["the token of its catalog"]);
        assert_eq!(plain(r#"catalog = "https://h", credential = "id:CANARY""#), ["the credential of its catalog"]);
        let s3 = r#"catalog = "https://h", s3 = { access_key = "k", secret_key = "CANARY", session_token = "CANARY" }"#;
        assert_eq!(plain(s3), ["the secret key of S3", "the session token of S3"]);
        let gcs = r#"catalog = "https://h", gcs = { token = "CANARY" }"#;
        assert_eq!(plain(gcs), ["the token of GCS"]);
        let azure = r#"catalog = "https://h", azure = { account = "us", sas_token = "CANARY" }"#;
        assert_eq!(plain(azure), ["the SAS token of Azure"]);
        let headers = r#"catalog = "https://h", headers = { X-Tenant = "a", X-Api-Key = "CANARY" }"#;
        assert_eq!(plain(headers), ["a header of its catalog"]);
        assert!(plain(r#"catalog = "https://h", token = "env:T", headers = { X-Api-Key = "file:k" }"#).is_empty());
    }
}
