//! How object stores are reached: the keys `s3`, `gcs` and `azure` of `history` and of `checkpoints`.

use crate::placed_text::{PlacedText, PlainSecrets};
use access::Secret;
use dataflow::{Error, Result};
use object_stores::{AzureSettings, GcsSettings, S3Settings, StoreSettings};
use serde::Deserialize;
use std::path::Path;
use toml::Spanned;

/// The keys of all stores.
#[derive(Clone, Debug, Default)]
pub struct StoreKeys {
    pub s3: S3Keys,
    pub gcs: GcsKeys,
    pub azure: AzureKeys,
}

/// The keys of S3.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { region = \"eu-central-1\" }")]
pub struct S3Keys {
    endpoint: Option<PlacedText>,
    region: Option<PlacedText>,
    path_style: Option<bool>,
    access_key: Option<PlacedText>,
    secret_key: Option<Spanned<PlacedText>>,
    session_token: Option<Spanned<PlacedText>>,
}

/// The keys of Google Cloud Storage.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { service_account = \"file:gcs.json\" }")]
pub struct GcsKeys {
    endpoint: Option<PlacedText>,
    service_account: Option<Spanned<PlacedText>>,
    token: Option<Spanned<PlacedText>>,
    anonymous: Option<bool>,
}

/// The keys of Azure's stores.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { account_key = \"env:AZURE_KEY\" }")]
pub struct AzureKeys {
    endpoint: Option<PlacedText>,
    account: Option<PlacedText>,
    account_key: Option<Spanned<PlacedText>>,
    sas_token: Option<Spanned<PlacedText>>,
    tenant_id: Option<PlacedText>,
    client_id: Option<PlacedText>,
    client_secret: Option<Spanned<PlacedText>>,
    federated_token: Option<PlacedText>,
    authority_host: Option<PlacedText>,
}

impl StoreKeys {
    /// Refuses keys that cannot be used together.
    pub fn check(&self) -> Result<()> {
        let StoreKeys { s3, gcs, azure } = self;
        if s3.access_key.is_some() != s3.secret_key.is_some() {
            return Err(Error::invalid("s3 has one of access_key and secret_key, expected both or none"));
        }
        let ways = [gcs.service_account.is_some(), gcs.token.is_some(), gcs.anonymous == Some(true)];
        if several(&ways) {
            return Err(Error::invalid(
                "gcs has several of service_account, token and anonymous, expected one of them",
            ));
        }
        azure.check()
    }

    /// Takes note of secrets that are written out.
    pub fn look(&self, plain: &mut PlainSecrets) {
        let StoreKeys { s3, gcs, azure } = self;
        for (secret, what) in [
            (&s3.secret_key, "the secret key of S3"),
            (&s3.session_token, "the session token of S3"),
            (&gcs.service_account, "the key of the service account of GCS"),
            (&gcs.token, "the token of GCS"),
            (&azure.account_key, "the account key of Azure"),
            (&azure.sas_token, "the SAS token of Azure"),
            (&azure.client_secret, "the client secret of Azure"),
        ] {
            secret.iter().for_each(|secret| plain.look(secret, what));
        }
    }

    /// How the stores are reached; `of` is the key that they belong to. What lies in the environment or in a file and is no secret is read here.
    pub fn settings(&self, root: &Path, of: &str) -> Result<StoreSettings> {
        let text = |text: &Option<PlacedText>, key: &str| {
            let text = text.clone().map(|text| text.0.within(root).read(&format!("key {key} of {of}")));
            text.transpose()
        };
        let secret = |secret: &Option<Spanned<PlacedText>>| -> Option<Secret> {
            secret.clone().map(|secret| secret.into_inner().0.within(root))
        };
        let StoreKeys { s3, gcs, azure } = self;
        Ok(StoreSettings {
            s3: S3Settings {
                endpoint: text(&s3.endpoint, "s3.endpoint")?,
                region: text(&s3.region, "s3.region")?,
                path_style: s3.path_style,
                access_key: s3.access_key.clone().map(|key| key.0.within(root)),
                secret_key: secret(&s3.secret_key),
                session_token: secret(&s3.session_token),
            },
            gcs: GcsSettings {
                endpoint: text(&gcs.endpoint, "gcs.endpoint")?,
                service_account: secret(&gcs.service_account),
                token: secret(&gcs.token),
                anonymous: gcs.anonymous == Some(true),
            },
            azure: AzureSettings {
                endpoint: text(&azure.endpoint, "azure.endpoint")?,
                account: text(&azure.account, "azure.account")?,
                account_key: secret(&azure.account_key),
                sas_token: secret(&azure.sas_token),
                tenant_id: text(&azure.tenant_id, "azure.tenant_id")?,
                client_id: text(&azure.client_id, "azure.client_id")?,
                client_secret: secret(&azure.client_secret),
                federated_token: match azure.federated_token.clone() {
                    Some(path) => Some(root.join(path.path("federated_token")?)),
                    None => None,
                },
                authority_host: text(&azure.authority_host, "azure.authority_host")?,
            },
        })
    }
}

impl AzureKeys {
    /// Refuses keys that cannot be used together.
    fn check(&self) -> Result<()> {
        let is_client = self.client_secret.is_some() || self.federated_token.is_some();
        if is_client && (self.tenant_id.is_none() || self.client_id.is_none()) {
            return Err(Error::invalid(
                "azure has client_secret or federated_token, expected tenant_id and client_id beside it",
            ));
        }
        if !is_client && (self.tenant_id.is_some() || self.authority_host.is_some()) {
            return Err(Error::invalid(
                "azure has tenant_id or authority_host, expected client_id, and client_secret or federated_token beside it",
            ));
        }
        // A client that shows nothing is an identity of the machine.
        let is_identity = self.client_id.is_some() && !is_client;
        let of_account = [self.account_key.is_some(), self.sas_token.is_some()];
        let of_client = [self.client_secret.is_some(), self.federated_token.is_some(), is_identity];
        if several(&[of_account.as_slice(), of_client.as_slice()].concat()) {
            return Err(Error::invalid(
                "azure has several of account_key, sas_token, client_secret, federated_token and the identity of client_id, \
                 expected one",
            ));
        }
        self.federated_token.clone().map_or(Ok(()), |path| path.path("federated_token").map(drop))
    }
}

/// Whether more than one is there.
fn several(ways: &[bool]) -> bool {
    ways.iter().filter(|is_there| **is_there).count() > 1
}
