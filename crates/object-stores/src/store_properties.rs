//! What a store is opened with, by the names that Iceberg's catalogs give.

use dataflow::{Error, Result};
use reqwest::Url;
use std::collections::BTreeMap;

/// What properties that are secret are called; those of Azure may have the account after that.
const SECRETS: [&str; 9] = [
    "s3.access-key-id",
    "s3.secret-access-key",
    "s3.session-token",
    "gcs.oauth2.token",
    "gcs.service-account",
    "adls.sas-token",
    "adls.account-key",
    "adls.auth.shared-key.account.key",
    "adls.client-secret",
];

/// Properties by the names that Iceberg's catalogs give them.
pub type Properties = BTreeMap<String, String>;

/// Whether what a property holds lets somebody in.
pub fn is_secret(key: &str) -> bool {
    // When a token ends is none.
    SECRETS.iter().any(|secret| key.starts_with(secret)) && !key.contains("expires-at")
}

/// Refuses an address that is none: what signs requests takes it to be one.
pub fn check_address(bucket: &str, address: &str, hint: &str) -> Result<()> {
    if Url::parse(address).is_ok_and(|url| url.has_host()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "bucket \"{bucket}\" cannot be opened: \"{address}\" is not the address of a server; {hint}"
    )))
}

/// What of some properties no message may show.
pub fn secrets_of(properties: &Properties) -> Vec<String> {
    properties.iter().filter(|(key, _)| is_secret(key)).map(|(_, value)| value.clone()).collect()
}

/// An error of a bucket that cannot be opened, and what to look at. What is below it is told without secrets.
pub fn not_opened(bucket: &str, hint: &str, why: &object_store::Error, secrets: &[String]) -> Error {
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let why = access::without(&why.to_string(), &secrets);
    Error::invalid(format!("bucket \"{bucket}\" cannot be opened; {hint}")).with_source(why)
}
