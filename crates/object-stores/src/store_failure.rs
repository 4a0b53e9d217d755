//! What errors of object stores mean to a host.

use crate::store_place::{Bucket, StoreKind};
use access::without;
use dataflow::{Error, ErrorKind};

/// How much of what a store has said is told.
const TOLD_MAX: usize = 400;

/// Where machines of Azure and Google are asked who they are.
const OF_MACHINE: [&str; 4] = ["metadata/identity", "/msi/token", "metadata.google.internal", "computeMetadata"];

/// What a store's error means to a host. Of what the store has said only its code and its message are told, without secrets:
/// the rest may hold what was sent.
pub fn store_failure(
    bucket: &Bucket,
    doing: &str,
    location: &str,
    error: &object_store::Error,
    secrets: &[String],
) -> Error {
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let text = chain(error);
    let within = |tag: &str| {
        let from = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        Some(text[from..].split('<').next().unwrap_or_default().trim().to_owned())
    };
    let code = within("Code");
    let message = within("Message").and_then(|message| message.lines().next().map(str::to_owned));
    let (kind, why) = match code.as_deref().and_then(|code| of_code(bucket, code, &text)) {
        Some(known) => known,
        None => of_token(bucket, &text).unwrap_or_else(|| of_kind(bucket, doing, error)),
    };
    let told = match (code, message) {
        (Some(code), Some(message)) => format!(" ({code}: {message})"),
        (Some(code), None) => format!(" ({code})"),
        _ if kind == ErrorKind::Unavailable => format!(" ({})", text.chars().take(TOLD_MAX).collect::<String>()),
        _ => String::new(),
    };
    Error::new(kind, format!("cannot {doing} \"{location}\": {why}{}", without(&told, &secrets)))
}

/// What a code of a store means; stores of Amazon, Google and Azure share none with another meaning.
fn of_code(bucket: &Bucket, code: &str, text: &str) -> Option<(ErrorKind, String)> {
    let name = &bucket.name;
    // Azure has one code for all that is wrong with a signature; its server for tests has that of a missing right.
    let is_over = || text.contains("specified time frame") || text.contains("Signature has expired");
    let code = match code {
        "AuthorizationFailure" if text.contains("failed to authenticate") => "AuthenticationFailed",
        code => code,
    };
    Some(match code {
        "NoSuchBucket" | "ContainerNotFound" | "FilesystemNotFound" => no_bucket(bucket),
        "AuthenticationFailed" if text.contains("Date header") || text.contains("date header") => of_clock(),
        "AuthenticationFailed" if is_over() => over(),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "InvalidSecurity"
        | "AuthenticationRequired"
        | "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation" => unknown_keys(bucket),
        "ExpiredToken" | "TokenRefreshRequired" => over(),
        "RequestTimeTooSkewed" | "RequestExpired" => of_clock(),
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
            (ErrorKind::Invalid, format!("bucket \"{name}\" lies in another region; set region of s3"))
        }
        "AccessDenied"
        | "AllAccessDisabled"
        | "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions"
        | "KeyBasedAuthenticationNotPermitted"
        | "PublicAccessNotPermitted" => not_permitted(bucket),
        "AccountIsDisabled" | "UserProjectAccountProblem" => {
            (ErrorKind::Refused, format!("the account of {} \"{name}\" is disabled", what(bucket)))
        }
        _ => return None,
    })
}

/// What an error means that has no code which is known.
fn of_kind(bucket: &Bucket, doing: &str, error: &object_store::Error) -> (ErrorKind, String) {
    match error {
        object_store::Error::Unauthenticated { .. } => unknown_keys(bucket),
        object_store::Error::PermissionDenied { .. } => not_permitted(bucket),
        // Where a bucket is, a file can be written and what is in it listed, so what is not found is the bucket.
        object_store::Error::NotFound { .. } if ["write", "list"].contains(&doing) => no_bucket(bucket),
        object_store::Error::NotFound { .. } => (ErrorKind::Corrupt, "the file is missing".to_owned()),
        object_store::Error::InvalidPath { .. } => (ErrorKind::Invalid, "the path cannot be one of a store".to_owned()),
        _ => (ErrorKind::Unavailable, "the store does not answer as expected".to_owned()),
    }
}

/// What an error means of whatever gives tokens for a store: a token server, or the machine.
fn of_token(bucket: &Bucket, text: &str) -> Option<(ErrorKind, String)> {
    if text.contains("Error reading federated token file") {
        let why = "the file with the token of workload identity cannot be read: look at federated_token of azure and at \
                   AZURE_FEDERATED_TOKEN_FILE";
        // Who puts a new one there may take the old one away first.
        return Some((ErrorKind::Unavailable, why.to_owned()));
    }
    let begins = ["Error performing token request", "Error getting token response body"];
    let from = begins.iter().find_map(|begin| text.find(begin))?;
    let told = &text[from..];
    let (keys, own) = match bucket.kind {
        StoreKind::S3 => return None,
        StoreKind::Google => ("service_account of gcs", "service_account, token or anonymous of gcs"),
        StoreKind::Azure => (
            "tenant_id, client_id, and client_secret or federated_token of azure",
            "account_key, sas_token or client_secret of azure",
        ),
    };
    if OF_MACHINE.iter().any(|place| told.contains(place)) {
        let why = "no keys are named, and this machine gives none";
        return Some((ErrorKind::Unavailable, format!("{why}: set {own}")));
    }
    let is_refused =
        ["status code: 400", "status code: 401", "status code: 403"].iter().any(|part| told.contains(part));
    Some(match is_refused {
        true => (ErrorKind::Refused, format!("the token server does not let this client in: look at {keys}")),
        false => (ErrorKind::Unavailable, "the token server does not answer as expected".to_owned()),
    })
}

fn no_bucket(bucket: &Bucket) -> (ErrorKind, String) {
    (ErrorKind::Invalid, format!("there is no {} \"{}\"; make it", what(bucket), bucket.name))
}

fn what(bucket: &Bucket) -> &'static str {
    if bucket.kind == StoreKind::Azure { "container" } else { "bucket" }
}

fn unknown_keys(bucket: &Bucket) -> (ErrorKind, String) {
    let keys = match bucket.kind {
        StoreKind::S3 => "access_key and secret_key of s3",
        StoreKind::Google => "service_account and token of gcs",
        StoreKind::Azure => "account_key, sas_token and client_secret of azure",
    };
    (ErrorKind::Refused, format!("the store does not know these keys: look at {keys}"))
}

fn not_permitted(bucket: &Bucket) -> (ErrorKind, String) {
    (ErrorKind::Refused, format!("these keys may not do this in {} \"{}\"", what(bucket), bucket.name))
}

fn over() -> (ErrorKind, String) {
    (ErrorKind::Refused, "the keys have expired; get new ones".to_owned())
}

fn of_clock() -> (ErrorKind, String) {
    (ErrorKind::Unavailable, "the clock of this machine differs from that of the store; set it right".to_owned())
}

/// An error and what is below it.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(location: &str, says: &str) -> (ErrorKind, String) {
        let error = object_store::Error::Generic { store: "any", source: says.to_owned().into() };
        let (bucket, _) = Bucket::of(location).unwrap();
        let error = store_failure(&bucket, "read", location, &error, &["CANARY".to_owned()]);
        (error.kind(), error.to_string())
    }

    #[test]
    fn a_bucket_in_which_nothing_can_be_written_is_missing_and_a_file_that_is_not_read_is_missing_itself() {
        let error = || object_store::Error::NotFound { path: "a".to_owned(), source: "404".into() };
        let (bucket, _) = Bucket::of("gs://lake/a").unwrap();
        let told = |doing: &str| store_failure(&bucket, doing, "gs://lake/a", &error(), &[]).to_string();
        assert!(told("write").contains("there is no bucket \"lake\"; make it"), "{}", told("write"));
        assert!(told("read").contains("the file is missing"), "{}", told("read"));
    }

    #[test]
    fn what_stores_say_is_told_by_its_meaning_and_without_secrets() {
        let (s3, gs, azure) = ("s3://lake/a", "gs://lake/a", "abfss://lake@us.dfs.core.windows.net/a");
        let over = "<Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Signature not valid in the specified time \
                    frame</AuthenticationErrorDetail>";
        let of_machine = "Error performing token request: Error performing GET http://metadata.google.internal/x - no";
        let refused = "Error performing token request: Server returned non-2xx status code: 401 Unauthorized: CANARY";
        let no_answer = "Error performing token request: connection refused";
        for (location, says, kind, meaning) in [
            (
                s3,
                "<Code>NoSuchBucket</Code>",
                ErrorKind::Invalid,
                "there is no bucket \"lake\"; make it (NoSuchBucket)",
            ),
            (azure, "<Code>ContainerNotFound</Code>", ErrorKind::Invalid, "there is no container \"lake\""),
            (gs, "<Code>InvalidSecurity</Code>", ErrorKind::Refused, "look at service_account and token of gcs"),
            (azure, "<Code>AuthenticationFailed</Code>", ErrorKind::Refused, "look at account_key, sas_token"),
            (azure, over, ErrorKind::Refused, "the keys have expired"),
            (azure, "<Code>AuthorizationFailure</Code>", ErrorKind::Refused, "may not do this in container \"lake\""),
            (s3, "<Code>SlowDown</Code><Message>a CANARY</Message>", ErrorKind::Unavailable, "(SlowDown: a ***)"),
            (s3, "<Code>CANARY</Code>", ErrorKind::Unavailable, "as expected (***)"),
            (
                gs,
                of_machine,
                ErrorKind::Unavailable,
                "this machine gives none: set service_account, token or anonymous",
            ),
            (azure, refused, ErrorKind::Refused, "does not let this client in: look at tenant_id, client_id, and"),
            (azure, no_answer, ErrorKind::Unavailable, "the token server does not answer as expected"),
            (s3, "it is CANARY", ErrorKind::Unavailable, "it is ***"),
        ] {
            let (found, text) = told(location, says);
            assert_eq!(found, kind, "{text}");
            assert!(text.contains(meaning) && !text.contains("CANARY"), "{meaning}: {text}");
        }
    }
}
