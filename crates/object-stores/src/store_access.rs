//! What opens buckets: the settings of the project, and what the catalog gives for a table.

use crate::settings::{SERVICE_ACCOUNT, StoreSettings};
use crate::store_place::{Bucket, StoreKind};
use crate::store_properties::{Properties, is_secret};
use crate::{azure_access, gcs_access, s3_access};
use access::Secret;
use dataflow::{Error, Result};
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often and how long a request to a store is tried again while the store does not answer.
const RETRIES_MAX: usize = 6;
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a request may take until its first byte, and a connection until it is there.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// What tells when keys of a catalog end, in milliseconds since 1970; that of Azure has the account after it.
const ENDS: [&str; 3] =
    ["s3.session-token-expires-at-ms", "gcs.oauth2.token-expires-at", "adls.sas-token-expires-at-ms"];

/// What opens the buckets of a table. Two that are equal open them the same way.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreAccess {
    // What the catalog says, and over it what the settings say that is no secret.
    properties: Properties,
    // Secrets of the settings, by the names of the properties that they are, each with what it is for messages.
    secrets: Vec<(&'static str, Secret, &'static str)>,
    ca: Option<PathBuf>,
}

impl fmt::Debug for StoreAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_shown = |key: &str| ["s3.endpoint", "s3.region", "gcs.service.host", "adls.endpoint"].contains(&key);
        let shown = self.properties.iter().filter(|(key, _)| is_shown(key));
        f.debug_struct("StoreAccess").field("properties", &shown.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl StoreAccess {
    /// What the settings say, and where they say nothing, or the catalog gives keys of its own, what the catalog says.
    pub fn new(
        settings: &StoreSettings,
        ca: Option<&Path>,
        of_catalog: impl IntoIterator<Item = (String, String)>,
    ) -> Result<StoreAccess> {
        let is_of_store = |(key, _): &(String, String)| {
            ["s3.", "gcs.", "adls."].iter().any(|store| key.starts_with(store)) || key == "client.region"
        };
        let mut properties: Properties = of_catalog.into_iter().filter(is_of_store).collect();
        properties.extend(settings.plain().into_iter().map(|(key, value)| (key.to_owned(), value)));
        let mut secrets = Vec::new();
        for (kind, of_settings) in settings.secrets() {
            if !is_vended(&properties, kind) {
                secrets.extend(of_settings);
            }
        }
        let access = StoreAccess { properties, secrets, ca: ca.map(Path::to_owned) };
        // What cannot be read is told before anything is asked for.
        access.now()?;
        Ok(access)
    }

    /// Whether the catalog has given keys, which end.
    pub fn is_vended(&self) -> bool {
        [StoreKind::S3, StoreKind::Google, StoreKind::Azure].into_iter().any(|kind| is_vended(&self.properties, kind))
    }

    /// When keys of the catalog end, in milliseconds since 1970, where it says so.
    pub fn ends_ms(&self) -> Option<i64> {
        let ends = |(key, value): (&String, &String)| {
            if ENDS.iter().any(|end| key.starts_with(end)) { value.parse().ok() } else { None }
        };
        self.properties.iter().filter_map(ends).min()
    }

    /// All properties, with the secrets of the settings as they are now.
    pub fn now(&self) -> Result<Properties> {
        let mut properties = self.properties.clone();
        for (key, secret, what) in &self.secrets {
            // The key of a service account is JSON, which may have lines.
            let text = if *key == SERVICE_ACCOUNT { secret.read(what) } else { secret.read_line(what) };
            properties.insert((*key).to_owned(), text?);
        }
        Ok(properties)
    }

    /// What no message may show.
    pub fn secret_texts(&self) -> Vec<String> {
        let of_catalog = self.properties.iter().filter(|(key, _)| is_secret(key)).map(|(_, value)| value.clone());
        let of_settings = self.secrets.iter().filter_map(|(_, secret, what)| secret.read(what).ok());
        of_catalog.chain(of_settings).collect()
    }

    /// A client of a bucket, with the properties as they are now. Nothing is sent yet.
    pub fn open(&self, bucket: &Bucket, properties: &Properties) -> Result<Arc<dyn ObjectStore>> {
        self.open_with(bucket, properties, RETRIES_MAX)
    }

    /// The same, whose requests are made once each.
    pub fn open_once(&self, bucket: &Bucket, properties: &Properties) -> Result<Arc<dyn ObjectStore>> {
        self.open_with(bucket, properties, 0)
    }

    fn open_with(&self, bucket: &Bucket, properties: &Properties, retries: usize) -> Result<Arc<dyn ObjectStore>> {
        let client = |allow_http| self.client_options(allow_http);
        let retry = || RetryConfig { max_retries: retries, retry_timeout: RETRY_TIME_MAX, ..RetryConfig::default() };
        match bucket.kind {
            StoreKind::S3 => Ok(Arc::new(s3_access::open(&bucket.name, properties, retry(), client)?)),
            StoreKind::Google => Ok(Arc::new(gcs_access::open(&bucket.name, properties, retry(), client)?)),
            StoreKind::Azure => Ok(Arc::new(azure_access::open(bucket, properties, retry(), client)?)),
        }
    }

    fn client_options(&self, allow_http: bool) -> Result<ClientOptions> {
        let options = ClientOptions::new()
            .with_timeout(REQUEST_TIME_MAX)
            .with_connect_timeout(CONNECT_TIME_MAX)
            .with_allow_http(allow_http);
        let Some(ca) = &self.ca else { return Ok(options) };
        let wrong = || Error::invalid(format!("the certificates of {} cannot be used", ca.display()));
        let pem = std::fs::read(ca).map_err(|error| wrong().with_source(error))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| wrong().with_source(error.to_string()))?;
        Ok(certificates.into_iter().fold(options, ClientOptions::with_root_certificate))
    }
}

/// Whether a catalog has given keys of a store.
fn is_vended(properties: &Properties, kind: StoreKind) -> bool {
    let store = match kind {
        StoreKind::S3 => "s3.",
        StoreKind::Google => "gcs.",
        StoreKind::Azure => "adls.",
    };
    properties.keys().any(|key| key.starts_with(store) && is_secret(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{AzureSettings, GcsSettings, S3Settings};
    use object_store::path::Path as ObjectPath;
    use object_store::signer::Signer;

    fn address(settings: &S3Settings, of_catalog: &[(&str, &str)]) -> String {
        let of_catalog = of_catalog.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let settings = StoreSettings { s3: settings.clone(), ..StoreSettings::default() };
        let properties = StoreAccess::new(&settings, None, of_catalog).unwrap().now().unwrap();
        let bucket =
            s3_access::open("lake", &properties, RetryConfig::default(), |_| Ok(ClientOptions::new())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let path = ObjectPath::from("a/b");
        let signed = bucket.signed_url(reqwest::Method::GET, &path, Duration::from_secs(60));
        runtime.block_on(signed).unwrap().to_string()
    }

    fn with_keys() -> S3Settings {
        let secret = |text: &str| Some(Secret::Text(text.to_owned()));
        S3Settings { access_key: secret("ours"), secret_key: secret("s"), ..S3Settings::default() }
    }

    #[test]
    fn a_bucket_stands_in_the_path_or_in_the_host() {
        let store = |path_style| S3Settings { endpoint: Some("https://store:9000".into()), path_style, ..with_keys() };
        let aws = |path_style| S3Settings { region: Some("eu-central-1".into()), path_style, ..with_keys() };
        for (settings, begins) in [
            (store(None), "https://store:9000/lake/a/b?"),
            (store(Some(true)), "https://store:9000/lake/a/b?"),
            (store(Some(false)), "https://lake.store:9000/a/b?"),
            (aws(None), "https://lake.s3.eu-central-1.amazonaws.com/a/b?"),
            (aws(Some(false)), "https://lake.s3.eu-central-1.amazonaws.com/a/b?"),
            (aws(Some(true)), "https://s3.eu-central-1.amazonaws.com/lake/a/b?"),
        ] {
            let address = address(&settings, &[]);
            assert!(address.starts_with(begins), "{begins}: {address}");
        }
    }

    #[test]
    fn places_are_those_of_the_settings_and_keys_those_of_the_catalog() {
        let of_catalog = [
            ("s3.endpoint", "https://catalogs"),
            ("s3.region", "eu-west-1"),
            ("s3.access-key-id", "theirs"),
            ("s3.secret-access-key", "t"),
            ("s3.session-token", "u"),
        ];
        let theirs = address(&with_keys(), &of_catalog);
        assert!(theirs.starts_with("https://catalogs/lake/a/b?"), "{theirs}");
        for part in ["theirs%2F", "%2Feu-west-1%2F", "X-Amz-Security-Token=u"] {
            assert!(theirs.contains(part), "{part}: {theirs}");
        }
        let ours = S3Settings { endpoint: Some("https://ours".into()), region: Some("r".into()), ..with_keys() };
        let ours = address(&ours, &of_catalog[..2]);
        assert!(ours.starts_with("https://ours/lake/a/b?") && ours.contains("ours%2F"), "{ours}");
        assert!(ours.contains("%2Fr%2F"), "{ours}");
    }

    #[test]
    fn stores_of_google_and_azure_are_opened_with_keys_of_the_settings_or_of_the_catalog() {
        let secret = |text: &str| Some(Secret::Text(text.to_owned()));
        let settings = StoreSettings {
            gcs: GcsSettings { token: secret("ours"), ..GcsSettings::default() },
            azure: AzureSettings { account_key: secret("b3Vycw=="), ..AzureSettings::default() },
            ..StoreSettings::default()
        };
        let azure = "abfss://lake@us.dfs.core.windows.net/a";
        let of_catalog = [
            ("gcs.oauth2.token", "theirs"),
            ("adls.sas-token.us.dfs.core.windows.net", "sv=1&sig=theirs"),
            ("adls.sas-token-expires-at-ms.us.dfs.core.windows.net", "17"),
            ("io-impl", "of another library"),
        ];
        for (of_catalog, is_vended, ends_ms) in [(&[][..], false, None), (&of_catalog[..], true, Some(17))] {
            let of_catalog = of_catalog.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let access = StoreAccess::new(&settings, None, of_catalog).unwrap();
            assert_eq!((access.is_vended(), access.ends_ms()), (is_vended, ends_ms));
            let (properties, secrets) = (access.now().unwrap(), access.secret_texts());
            assert_eq!(properties.contains_key("adls.account-key"), !is_vended);
            assert!(secrets.iter().all(|text| text.contains("theirs") == is_vended), "{secrets:?}");
            assert_eq!(secrets.len(), 2);
            for location in ["gs://lake/a", azure] {
                let (bucket, _) = Bucket::of(location).unwrap();
                access.open(&bucket, &properties).unwrap();
            }
            assert!(!format!("{access:?}").contains("ours") && !format!("{access:?}").contains("theirs"));
        }
        let (no_account, _) = Bucket::of("abfss://lake/a").unwrap();
        let access = StoreAccess::new(&settings, None, []).unwrap();
        let error = access.open(&no_account, &access.now().unwrap()).unwrap_err().to_string();
        assert!(error.contains("belongs to no account"), "{error}");
    }

    #[test]
    fn an_address_that_is_none_is_told_with_what_to_set() {
        let refused = |s3: S3Settings, location: &str| {
            let access = StoreAccess::new(&StoreSettings { s3, ..StoreSettings::default() }, None, []).unwrap();
            let (bucket, _) = Bucket::of(location).unwrap();
            access.open(&bucket, &access.now().unwrap()).unwrap_err().to_string()
        };
        let store =
            |endpoint: &str, path_style| S3Settings { endpoint: Some(endpoint.to_owned()), path_style, ..with_keys() };
        for (settings, location, told) in [
            (store("http://127.0.0.1:9000", Some(false)), "s3://lake/a", "set path_style = true"),
            (store("http://store:9000", Some(false)), "s3://my lake/a", "set path_style = true"),
            (store("store:9000", None), "s3://lake/a", "look at endpoint of s3"),
            (store("http://", None), "s3://lake/a", "look at endpoint of s3"),
            (S3Settings { region: Some("eu central".into()), ..with_keys() }, "s3://lake/a", "lake.s3.eu central"),
            (with_keys(), "s3://my lake/a", "set path_style = true"),
        ] {
            let error = refused(settings, location);
            assert!(error.contains("is not the address of a server") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_is_told_without_it() {
        let key = Some(Secret::Text("CANARY-no-base-64".to_owned()));
        let azure = AzureSettings { account_key: key.clone(), ..AzureSettings::default() };
        let gcs = GcsSettings { service_account: key, ..GcsSettings::default() };
        let access = StoreAccess::new(&StoreSettings { azure, gcs, ..StoreSettings::default() }, None, []).unwrap();
        for location in ["gs://lake/a", "abfss://lake@us.dfs.core.windows.net/a"] {
            let (bucket, _) = Bucket::of(location).unwrap();
            let error = access.open(&bucket, &access.now().unwrap()).unwrap_err().chain();
            assert!(error.contains("bucket \"lake\" cannot be opened") && !error.contains("CANARY"), "{error}");
        }
    }
}
