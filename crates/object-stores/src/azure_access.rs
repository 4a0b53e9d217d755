//! Opens a container of Azure's stores of blobs, also of those with folders (Data Lake Storage Gen2).

use crate::store_place::Bucket;
use crate::store_properties::{Properties, check_address, not_opened, secrets_of};
use dataflow::{Error, Result};
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::{ClientOptions, RetryConfig};

/// The property of our own that holds the address of an account.
pub const ENDPOINT: &str = "adls.endpoint";
/// The property of our own that holds the file with a token of workload identity.
pub const FEDERATED_TOKEN: &str = "adls.federated-token-file";
/// The property of our own that holds the address of the token server.
pub const AUTHORITY_HOST: &str = "adls.authority-host";
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
    let mut builder = with_keys(bucket, properties);
    let account = bucket.account().or(get(&["adls.account-name", "adls.auth.shared-key.account.name"]));
    builder = account.into_iter().fold(builder, MicrosoftAzureBuilder::with_account);
    if builder.get_config_value(&AzureConfigKey::AccountName).is_none() {
        return Err(Error::invalid(format!(
            "container \"{}\" belongs to no account: set account of azure of history in riverrun.toml",
            bucket.name
        )));
    }
    let mut is_plain = false;
    if let Some(host) = builder.get_config_value(&AzureConfigKey::AuthorityHost) {
        check_address(&bucket.name, &host, "look at authority_host of azure, and at AZURE_AUTHORITY_HOST")?;
        is_plain |= host.starts_with("http://");
        // The library puts a slash of its own after it.
        builder = builder.with_config(AzureConfigKey::AuthorityHost, host.trim_end_matches('/'));
    }
    if let Some(endpoint) = properties.get(ENDPOINT).cloned().or(bucket.endpoint()) {
        check_address(&bucket.name, &endpoint, "look at endpoint of azure, and at the location of the table")?;
        is_plain |= endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let builder = builder.with_container_name(&bucket.name).with_retry(retry).with_client_options(client(is_plain)?);
    let hint = "look at azure of history, and at the environment where that names no key";
    builder.build().map_err(|error| not_opened(&bucket.name, hint, &error, &secrets_of(properties)))
}

/// What lets in: that of the settings or of the catalog, and where there is none, that of the environment or of the machine.
fn with_keys(bucket: &Bucket, properties: &Properties) -> MicrosoftAzureBuilder {
    let get = |keys: &[&str]| keys.iter().find_map(|key| properties.get(*key)).cloned();
    let signature = signature(bucket, properties).map(|signature| signature.trim_start_matches('?').to_owned());
    let key = get(&["adls.account-key", "adls.auth.shared-key.account.key"]);
    let (client_id, tenant_id) = (get(&["adls.client-id"]), get(&["adls.tenant-id"]));
    let config = match (signature, key, client_id) {
        (Some(signature), ..) => vec![(AzureConfigKey::SasKey, Some(signature))],
        (None, Some(key), _) => vec![(AzureConfigKey::AccessKey, Some(key))],
        (None, None, Some(client_id)) if tenant_id.is_some() => vec![
            (AzureConfigKey::ClientId, Some(client_id)),
            (AzureConfigKey::AuthorityId, tenant_id),
            (AzureConfigKey::ClientSecret, get(&["adls.client-secret"])),
            (AzureConfigKey::FederatedTokenFile, get(&[FEDERATED_TOKEN])),
            (AzureConfigKey::AuthorityHost, get(&[AUTHORITY_HOST])),
        ],
        (None, None, Some(client_id)) => identity(client_id),
        (None, None, None) => return MicrosoftAzureBuilder::from_env(),
    };
    let given = config.into_iter().filter_map(|(key, value)| Some((key, value?)));
    given.fold(MicrosoftAzureBuilder::new(), |builder, (key, value)| builder.with_config(key, value))
}

/// An identity of the machine by its client. Of the environment it takes where the machine is asked for it, and no key, which
/// would go before it.
fn identity(client_id: String) -> Vec<(AzureConfigKey, Option<String>)> {
    let environment = MicrosoftAzureBuilder::from_env();
    let of_machine = [
        AzureConfigKey::MsiEndpoint,
        AzureConfigKey::FederatedTokenFile,
        AzureConfigKey::AuthorityId,
        AzureConfigKey::AuthorityHost,
    ];
    let found = of_machine.into_iter().map(|key| (key, environment.get_config_value(&key)));
    found.chain([(AzureConfigKey::ClientId, Some(client_id))]).collect()
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
