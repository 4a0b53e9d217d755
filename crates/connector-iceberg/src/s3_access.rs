//! What opens a bucket: the settings of the project, and what the catalog gives for a table.

use crate::settings::S3Settings;
use dataflow::{Error, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{Certificate, ClientOptions, RetryConfig};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often and how long a request to a store is tried again while the store does not answer.
const RETRIES_MAX: usize = 6;
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a request may take until its first byte, and a connection until it is there.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// The region that stores of others take when none is given.
const REGION_DEFAULT: &str = "us-east-1";

/// What opens the buckets of a table. Two that are equal open them the same way.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Access {
    // By the names that Iceberg's catalogs give.
    properties: BTreeMap<String, String>,
    ca: Option<PathBuf>,
}

impl fmt::Debug for S3Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.properties.iter().filter(|(key, _)| ["s3.endpoint", "s3.region"].contains(&key.as_str()));
        f.debug_struct("S3Access").field("properties", &shown.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl S3Access {
    /// What the settings say, and where they say nothing, or the catalog gives keys of its own, what the catalog says.
    pub fn new(
        settings: &S3Settings,
        ca: Option<&Path>,
        of_catalog: impl IntoIterator<Item = (String, String)>,
    ) -> Result<S3Access> {
        let known = |(key, _): &(String, String)| key.starts_with("s3.") || key == "client.region";
        let mut properties: BTreeMap<String, String> = of_catalog.into_iter().filter(known).collect();
        let plain = [
            ("s3.endpoint", settings.endpoint.clone()),
            ("s3.region", settings.region.clone()),
            ("s3.path-style-access", settings.path_style.map(|path_style| path_style.to_string())),
        ];
        properties.extend(plain.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        if !properties.contains_key("s3.access-key-id") {
            let secret = [
                ("s3.access-key-id", &settings.access_key, "the access key of S3"),
                ("s3.secret-access-key", &settings.secret_key, "the secret key of S3"),
                ("s3.session-token", &settings.session_token, "the session token of S3"),
            ];
            for (key, secret, what) in secret {
                if let Some(secret) = secret {
                    properties.insert(key.to_owned(), secret.read(what)?);
                }
            }
        }
        Ok(S3Access { properties, ca: ca.map(Path::to_owned) })
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// A client of a bucket. Nothing is sent yet.
    pub fn bucket(&self, bucket: &str) -> Result<AmazonS3> {
        let wrong = |error: object_store::Error| {
            Error::invalid(format!("bucket \"{bucket}\" cannot be opened")).with_source(error.to_string())
        };
        let key = self.get("s3.access-key-id");
        let mut builder = if key.is_some() { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
        let region = self.get("s3.region").or(self.get("client.region"));
        match (region, key) {
            (Some(region), _) => builder = builder.with_region(region),
            (None, Some(_)) => builder = builder.with_region(REGION_DEFAULT),
            (None, None) => {}
        }
        if let Some(endpoint) = self.get("s3.endpoint") {
            let path_style = self.get("s3.path-style-access") != Some("false");
            // With the bucket in the host, the library wants the whole host.
            let endpoint = match (path_style, endpoint.split_once("://")) {
                (false, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
                _ => endpoint.to_owned(),
            };
            builder =
                builder.with_endpoint(endpoint.trim_end_matches('/')).with_virtual_hosted_style_request(!path_style);
            builder = builder.with_allow_http(endpoint.starts_with("http://"));
        } else {
            builder = builder.with_virtual_hosted_style_request(self.get("s3.path-style-access") != Some("true"));
        }
        if let (Some(id), Some(secret)) = (key, self.get("s3.secret-access-key")) {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        if let Some(token) = self.get("s3.session-token") {
            builder = builder.with_token(token);
        }
        let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIME_MAX, ..RetryConfig::default() };
        builder = builder.with_bucket_name(bucket).with_retry(retry).with_client_options(self.client_options()?);
        builder.build().map_err(wrong)
    }

    fn client_options(&self) -> Result<ClientOptions> {
        let allow_http = self.get("s3.endpoint").is_some_and(|endpoint| endpoint.starts_with("http://"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use access::Secret;
    use object_store::path::Path as ObjectPath;
    use object_store::signer::Signer;

    fn address(settings: &S3Settings, of_catalog: &[(&str, &str)]) -> String {
        let of_catalog = of_catalog.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let bucket = S3Access::new(settings, None, of_catalog).unwrap().bucket("lake").unwrap();
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
}
