//! Opens a container of Azure's stores of blobs, also of those with folders (Data Lake Storage Gen2).

use crate::store_place::Bucket;
use crate::store_properties::{Properties, check_address, not_opened, secrets_of};
use dataflow::{Error, Result};
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::{ClientOptions, RetryConfig};

/// The property of our own that holds the address of an account.
pub const ENDPOINT: &str = "adls.endpoint";
const SAS: &str = "adls.sas-token";

/// A client of a container: with a signature that permits access, the key of the account, a client of Entra ID, or the
/// identity of the machine. Nothing is sent yet.
pub fn open(
    bucket: &Bucket,
    properties: &Properties,
    retry: RetryConfig,
    client: impl Fn(bool) -> Result<ClientOptions>,
) -> Result<MicrosoftAzure> {
    let get = |keys: &[&str]| keys.iter().find_map(|key| properties.get(*key)).map(String::as_str);
    let signature = signature(bucket, properties);
    let key = get(&["adls.account-key", "adls.auth.shared-key.account.key"]);
    let client_id = get(&["adls.client-id"]);
    let mut builder = match signature.is_some() || key.is_some() || client_id.is_some() {
        true => MicrosoftAzureBuilder::new(),
        false => MicrosoftAzureBuilder::from_env(),
    };
    let account = bucket.account().or(get(&["adls.account-name", "adls.auth.shared-key.account.name"]));
    builder = account.into_iter().fold(builder, MicrosoftAzureBuilder::with_account);
    if builder.get_config_value(&AzureConfigKey::AccountName).is_none() {
        return Err(Error::invalid(format!(
            "container \"{}\" belongs to no account: set account of azure of history in riverrun.toml",
            bucket.name
        )));
    }
    let config = match (signature, key, client_id) {
        (Some(signature), ..) => vec![(AzureConfigKey::SasKey, Some(signature.trim_start_matches('?')))],
        (None, Some(key), _) => vec![(AzureConfigKey::AccessKey, Some(key))],
        (None, None, Some(client_id)) => vec![
            (AzureConfigKey::ClientId, Some(client_id)),
            (AzureConfigKey::ClientSecret, get(&["adls.client-secret"])),
            (AzureConfigKey::AuthorityId, get(&["adls.tenant-id"])),
        ],
        (None, None, None) => Vec::new(),
    };
    for (key, value) in config {
        builder = value.into_iter().fold(builder, |builder, value| builder.with_config(key, value));
    }
    let endpoint = properties.get(ENDPOINT).cloned().or(bucket.endpoint());
    let is_plain = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    if let Some(endpoint) = endpoint {
        check_address(&bucket.name, &endpoint, "look at endpoint of azure, and at the location of the table")?;
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let builder = builder.with_container_name(&bucket.name).with_retry(retry).with_client_options(client(is_plain)?);
    let hint = "look at azure of history, and at the environment where that names no key";
    builder.build().map_err(|error| not_opened(&bucket.name, hint, &error, &secrets_of(properties)))
}

/// The signature for an account: that of its host, of its name, or the only one.
fn signature<'a>(bucket: &Bucket, properties: &'a Properties) -> Option<&'a str> {
    let host = bucket.host.clone().unwrap_or_default();
    let other = match host.contains(".dfs.") {
        true => host.replacen(".dfs.", ".blob.", 1),
        false => host.replacen(".blob.", ".dfs.", 1),
    };
    let account = bucket.account().unwrap_or_default();
    let of_account = [host.as_str(), other.as_str(), account].map(|name| format!("{SAS}.{name}"));
    let found = of_account.iter().find_map(|key| properties.get(key)).or(properties.get(SAS));
    found.map(String::as_str)
}
