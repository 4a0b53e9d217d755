//! Opens a bucket of Google Cloud Storage.

use crate::store_properties::{Properties, check_address, not_opened};
use dataflow::Result;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::{ClientOptions, RetryConfig, StaticCredentialProvider};
use std::sync::Arc;

/// The property of our own that holds the key of a service account, as JSON.
pub const SERVICE_ACCOUNT: &str = "gcs.service-account";

/// A client of a bucket: with a token, with the key of a service account, or with the credentials of the machine. Nothing is
/// sent yet.
pub fn open(
    bucket: &str,
    properties: &Properties,
    retry: RetryConfig,
    client: impl Fn(bool) -> Result<ClientOptions>,
) -> Result<GoogleCloudStorage> {
    let get = |key: &str| properties.get(key).map(String::as_str);
    let endpoint = get("gcs.service.host");
    let (token, account) = (get("gcs.oauth2.token"), get(SERVICE_ACCOUNT));
    let mut builder = match token.is_some() || account.is_some() {
        true => GoogleCloudStorageBuilder::new(),
        false => GoogleCloudStorageBuilder::from_env(),
    };
    if let Some(token) = token {
        let bearer = GcpCredential { bearer: token.to_owned() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(bearer)));
    } else if let Some(account) = account {
        builder = builder.with_service_account_key(account);
    }
    if let Some(endpoint) = endpoint {
        check_address(bucket, endpoint, "look at endpoint of gcs")?;
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    if get("gcs.no-auth") == Some("true") {
        builder = builder.with_skip_signature(true);
    }
    let client = client(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")))?;
    let builder = builder.with_bucket_name(bucket).with_retry(retry).with_client_options(client);
    builder.build().map_err(|error| not_opened(bucket, &error, properties))
}
