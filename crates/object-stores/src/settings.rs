//! How object stores are reached, as the settings of a project say it.

use crate::azure_access::{AUTHORITY_HOST, FEDERATED_TOKEN};
use crate::store_place::StoreKind;
use access::Secret;
use std::path::PathBuf;

/// How object stores are reached, where nothing else says it.
#[derive(Clone, Debug, Default)]
pub struct StoreSettings {
    /// Amazon S3, and what is reached like it.
    pub s3: S3Settings,
    /// Google Cloud Storage.
    pub gcs: GcsSettings,
    /// Azure's stores of blobs.
    pub azure: AzureSettings,
}

/// How S3 is reached. Without keys those of the environment and of the machine are used.
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

/// How Google Cloud Storage is reached. Without a key, a token and `anonymous` the application default credentials are used:
/// those that `GOOGLE_APPLICATION_CREDENTIALS` names, those of `gcloud`, or those of the machine, with workload identity.
#[derive(Clone, Debug, Default)]
pub struct GcsSettings {
    /// `https://HOST[:PORT]`, where it is not that of Google.
    pub endpoint: Option<String>,
    /// The key of a service account, as JSON.
    pub service_account: Option<Secret>,
    /// A token of OAuth.
    pub token: Option<Secret>,
    /// Whether nothing is shown: for public buckets, which are only read, and for servers for tests.
    pub anonymous: bool,
}

/// How Azure's stores are reached. Without a key, a signature or a client those of the environment are used
/// (`AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_FEDERATED_TOKEN_FILE` of workload identity and so on), else the identity of the
/// machine. A client without a secret and without a token is such an identity, where a machine has several.
#[derive(Clone, Debug, Default)]
pub struct AzureSettings {
    /// The address of the account, where it is not one of Azure: `https://HOST[:PORT]`, and `/ACCOUNT` where the store has
    /// the account in its paths.
    pub endpoint: Option<String>,
    /// The account of locations that name none.
    pub account: Option<String>,
    /// The key of the account.
    pub account_key: Option<Secret>,
    /// A signature that permits access.
    pub sas_token: Option<Secret>,
    /// The tenant of a client of Entra ID.
    pub tenant_id: Option<String>,
    /// The id of that client.
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// The file with a token that is shown in place of a secret, which is read whenever one is asked for.
    pub federated_token: Option<PathBuf>,
    /// `https://HOST` of the token server, where it is not that of Azure's public cloud.
    pub authority_host: Option<String>,
}

/// The name of the property with the key of a service account.
pub const SERVICE_ACCOUNT: &str = "gcs.service-account";

/// A secret: the name of the property that it is, the text, and what it is for messages.
pub type NamedSecret = (&'static str, Secret, &'static str);

impl StoreSettings {
    /// What is no secret, by the names that Iceberg's catalogs give.
    pub fn plain(&self) -> Vec<(&'static str, String)> {
        let StoreSettings { s3, gcs, azure } = self;
        let all = [
            ("s3.endpoint", s3.endpoint.clone()),
            ("s3.region", s3.region.clone()),
            ("s3.path-style-access", s3.path_style.map(|path_style| path_style.to_string())),
            ("gcs.service.host", gcs.endpoint.clone()),
            ("gcs.no-auth", gcs.anonymous.then(|| "true".to_owned())),
            ("adls.endpoint", azure.endpoint.clone()),
            ("adls.account-name", azure.account.clone()),
            ("adls.tenant-id", azure.tenant_id.clone()),
            ("adls.client-id", azure.client_id.clone()),
            (FEDERATED_TOKEN, azure.federated_token.as_ref().map(|path| path.display().to_string())),
            (AUTHORITY_HOST, azure.authority_host.clone()),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// What is secret, store by store.
    pub fn secrets(&self) -> [(StoreKind, Vec<NamedSecret>); 3] {
        let StoreSettings { s3, gcs, azure } = self;
        let given = |all: &[(&'static str, &Option<Secret>, &'static str)]| {
            all.iter().filter_map(|(key, secret, what)| Some((*key, (*secret).clone()?, *what))).collect()
        };
        let of_s3 = [
            ("s3.access-key-id", &s3.access_key, "the access key of S3"),
            ("s3.secret-access-key", &s3.secret_key, "the secret key of S3"),
            ("s3.session-token", &s3.session_token, "the session token of S3"),
        ];
        let of_gcs = [
            (SERVICE_ACCOUNT, &gcs.service_account, "the key of the service account of GCS"),
            ("gcs.oauth2.token", &gcs.token, "the token of GCS"),
        ];
        let of_azure = [
            ("adls.account-key", &azure.account_key, "the account key of Azure"),
            ("adls.sas-token", &azure.sas_token, "the SAS token of Azure"),
            ("adls.client-secret", &azure.client_secret, "the client secret of Azure"),
        ];
        [(StoreKind::S3, given(&of_s3)), (StoreKind::Google, given(&of_gcs)), (StoreKind::Azure, given(&of_azure))]
    }

    /// Whether they name a way into any store: keys, an identity, or nothing at all to show.
    pub fn has_keys(&self) -> bool {
        let StoreSettings { gcs, azure, .. } = self;
        let is_named = gcs.anonymous || azure.federated_token.is_some() || azure.client_id.is_some();
        is_named || self.secrets().iter().any(|(_, secrets)| !secrets.is_empty())
    }
}
