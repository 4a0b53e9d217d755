//! Opens a bucket of S3, or of a store that is reached like it.

use crate::store_properties::{Properties, check_address, not_opened, secrets_of};
use dataflow::Result;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, RetryConfig};

/// The region that stores of others take when none is given.
const REGION_DEFAULT: &str = "us-east-1";

/// What to do about an address that is none.
const ENDPOINT: &str = "look at endpoint of s3, which is http:// or https://, a host, and a port if it has one";
const REGION: &str = "look at region of s3";
const IN_HOST: &str =
    "where the host is a number, or the bucket has a name that no host can have, set path_style = true of s3";

/// A client of a bucket: with keys, or with those of the environment or of the machine. Nothing is sent yet.
pub fn open(
    bucket: &str,
    properties: &Properties,
    retry: RetryConfig,
    client: impl Fn(bool) -> Result<ClientOptions>,
) -> Result<AmazonS3> {
    let get = |key: &str| properties.get(key).map(String::as_str);
    let key = get("s3.access-key-id");
    let mut builder = if key.is_some() { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
    let region = get("s3.region").or(get("client.region"));
    match (region, key) {
        (Some(region), _) => builder = builder.with_region(region),
        (None, Some(_)) => builder = builder.with_region(REGION_DEFAULT),
        (None, None) => {}
    }
    if let Some(endpoint) = get("s3.endpoint") {
        let path_style = get("s3.path-style-access") != Some("false");
        // With the bucket in the host, the library wants the whole host.
        let endpoint = match (path_style, endpoint.split_once("://")) {
            (false, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
            _ => endpoint.to_owned(),
        };
        check_address(bucket, &endpoint, if path_style { ENDPOINT } else { IN_HOST })?;
        builder = builder.with_endpoint(endpoint.trim_end_matches('/')).with_virtual_hosted_style_request(!path_style);
        builder = builder.with_allow_http(endpoint.starts_with("http://"));
    } else {
        let in_host = get("s3.path-style-access") != Some("true");
        let region = region.unwrap_or(REGION_DEFAULT);
        let own = if in_host { format!("{bucket}.") } else { String::new() };
        check_address(
            bucket,
            &format!("https://{own}s3.{region}.amazonaws.com"),
            if in_host { IN_HOST } else { REGION },
        )?;
        builder = builder.with_virtual_hosted_style_request(in_host);
    }
    if let (Some(id), Some(secret)) = (key, get("s3.secret-access-key")) {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    if let Some(token) = get("s3.session-token") {
        builder = builder.with_token(token);
    }
    let client = client(get("s3.endpoint").is_some_and(|endpoint| endpoint.starts_with("http://")))?;
    let builder = builder.with_bucket_name(bucket).with_retry(retry).with_client_options(client);
    builder.build().map_err(|error| not_opened(bucket, "look at s3 of history", &error, &secrets_of(properties)))
}
