//! Opens a bucket of Google Cloud Storage.

use crate::store_properties::{Properties, check_address, not_opened};
use dataflow::{Error, Result};
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::{ClientOptions, RetryConfig, StaticCredentialProvider};
use serde_json::Value;
use std::sync::Arc;

/// The property of our own that holds the key of a service account, as JSON.
pub const SERVICE_ACCOUNT: &str = "gcs.service-account";

/// What the key of a service account has in it.
const KEY_FIELDS: [&str; 3] = ["client_email", "private_key_id", "private_key"];

/// A client of a bucket: with a token, with the key of a service account, with nothing, or with the credentials of the
/// machine. Nothing is sent yet.
pub fn open(
    bucket: &str,
    properties: &Properties,
    retry: RetryConfig,
    client: impl Fn(bool) -> Result<ClientOptions>,
) -> Result<GoogleCloudStorage> {
    let get = |key: &str| properties.get(key).map(String::as_str);
    let endpoint = get("gcs.service.host");
    let (token, account, is_anonymous) =
        (get("gcs.oauth2.token"), get(SERVICE_ACCOUNT), get("gcs.no-auth") == Some("true"));
    let is_of_machine = token.is_none() && account.is_none() && !is_anonymous;
    let mut builder = match is_of_machine {
        true => GoogleCloudStorageBuilder::from_env(),
        false => GoogleCloudStorageBuilder::new(),
    };
    if let Some(token) = token {
        builder = builder.with_credentials(bearer(token));
    } else if let Some(account) = account {
        check_account(bucket, account)?;
        builder = builder.with_service_account_key(account);
    } else if is_anonymous {
        // The library takes a token for what changes a bucket even so, and would ask the machine for one.
        builder = builder.with_skip_signature(true).with_credentials(bearer(""));
    }
    if let Some(endpoint) = endpoint {
        check_address(bucket, endpoint, "look at endpoint of gcs")?;
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    let client = client(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")))?;
    let builder = builder.with_bucket_name(bucket).with_retry(retry).with_client_options(client);
    builder.build().map_err(|error| match is_of_machine {
        true => {
            not_opened(bucket, "look at GOOGLE_APPLICATION_CREDENTIALS, or set service_account of gcs", &error, &[])
        }
        false => not_opened(bucket, "look at service_account of gcs", &error, &secrets_of_account(account)),
    })
}

fn bearer(token: &str) -> Arc<StaticCredentialProvider<GcpCredential>> {
    Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: token.to_owned() }))
}

/// Refuses what is no key of a service account. Nothing of the text is told: it may be another secret.
fn check_account(bucket: &str, account: &str) -> Result<()> {
    let key: Option<Value> = serde_json::from_str(account).ok();
    let missing = match key.as_ref().and_then(Value::as_object) {
        None => "it is no JSON object".to_owned(),
        Some(key) => match KEY_FIELDS.iter().find(|field| !key.get(**field).is_some_and(Value::is_string)) {
            None => return Ok(()),
            Some(field) => format!("it has no {field}"),
        },
    };
    Err(Error::invalid(format!(
        "bucket \"{bucket}\" cannot be opened: the text at service_account of gcs is not the key of a service account: \
         {missing}; expected the JSON file that Google gives for a key, as \"file:gcs.json\""
    )))
}

/// The key of a service account, and its parts, which messages of what reads it may have.
fn secrets_of_account(account: Option<&str>) -> Vec<String> {
    let key: Option<Value> = account.and_then(|account| serde_json::from_str(account).ok());
    let parts = KEY_FIELDS.iter().filter_map(|field| key.as_ref()?.get(field)?.as_str().map(str::to_owned));
    parts.chain(account.map(str::to_owned)).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    fn opened(properties: &[(&str, &str)]) -> Result<GoogleCloudStorage> {
        let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        open("lake", &properties, RetryConfig::default(), |_| Ok(ClientOptions::new()))
    }

    #[test]
    fn what_is_no_key_of_a_service_account_is_refused_without_its_text() {
        let half = r#"{"client_email":"CANARY","private_key_id":"CANARY"}"#;
        let wrong = r#"{"client_email":"a","private_key_id":"CANARY","private_key":"CANARY"}"#;
        for (account, expected) in [
            ("CANARY", "it is no JSON object"),
            (r#""CANARY""#, "it is no JSON object"),
            (half, "it has no private_key"),
            (wrong, "look at service_account of gcs"),
        ] {
            let error = opened(&[(SERVICE_ACCOUNT, account)]).unwrap_err();
            let told = error.chain();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{told}");
            assert!(told.contains(expected) && !told.contains("CANARY"), "{account}: {told}");
        }
    }

    #[test]
    fn a_token_and_nothing_at_all_open_a_bucket() {
        opened(&[("gcs.oauth2.token", "t"), ("gcs.service.host", "http://127.0.0.1:1")]).unwrap();
        opened(&[("gcs.no-auth", "true")]).unwrap();
        let told = opened(&[("gcs.no-auth", "true"), ("gcs.service.host", "nowhere")]).unwrap_err().chain();
        assert!(told.contains("look at endpoint of gcs"), "{told}");
    }
}
