//! Tables in Google's stores, on a server of them: a catalog that keeps its own files there through Google's library, a
//! project that runs, is killed and goes on, PyIceberg, which reads what it wrote, and the ways in.

use crate::azure::{catalog_of, drop_archive, told_by_an_archive};
use crate::project::{Folder, GCS_TOKEN, with_history};
use crate::ways_in::archives;
use crate::{read_by_others, rows_over_a_kill_and_a_resume};
use access::Secret;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use connector_iceberg::{RestSettings, TableOptions, Warehouse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use object_stores::GcsSettings;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::catalogs::{GoogleServer, Proxy, Request, RestServer, Treatment, can_start, prepared};
use tests::{Chance, all_rows};

const OUTPUT: &str = "lake.deep.counted";

fn has_token(request: &Request) -> bool {
    request.header("authorization") == Some(&format!("Bearer {GCS_TOKEN}"))
}

fn history(catalog: &str, endpoint: &str, more: &str) -> String {
    format!("catalog = \"{catalog}\", gcs = {{ endpoint = \"{endpoint}\"{more} }}")
}

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let printed = folder.printed(&[arguments, &["--json"]].concat(), "prod");
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[test]
fn rows_in_a_bucket_of_google_are_those_of_the_local_run_and_are_kept_in_order() {
    if !can_start() {
        return;
    }
    let google = GoogleServer::start();
    let (catalog, store) = (google.catalog(), google.xml(has_token));
    let history = history(&catalog.uri(), &store.uri(), ", token = \"env:TEST_GCS_TOKEN\"");
    let folder = Folder::new(&with_history(&history));
    let local = rows_over_a_kill_and_a_resume(&folder);
    let read_by_pyiceberg =
        || read_by_others(&catalog.uri(), OUTPUT, None, &["--order", "id", "--gcs", &google.endpoint()]);
    assert_eq!(read_by_pyiceberg(), local);

    let compacted = json(&folder, &["table", "compact", OUTPUT, "--apply"]);
    assert!(compacted["files_before"].as_i64() > compacted["files_after"].as_i64(), "{compacted}");
    let expired = json(&folder, &["table", "expire", OUTPUT, "--keep", "1", "--nobody-reads", "--apply"]);
    assert!(expired["snapshots"].as_i64() > Some(0), "{expired}");
    let orphans = json(&folder, &["table", "orphans", OUTPUT]);
    let told = (&orphans["files"], orphans["listed"].as_i64() > Some(2));
    assert_eq!(told, (&Value::Array(Vec::new()), true), "{orphans}");
    assert_eq!(folder.rows("prod"), local);
    assert_eq!(read_by_pyiceberg(), local);
    folder.assert_no_secret_in_files();
}

/// Makes the key of a service account, as Google gives it in a file; gives what verifies its tokens.
fn service_account(file: &Path) -> DecodingKey {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap()
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"]);
    let modulus = openssl(&["rsa", "-in", "key.pem", "-noout", "-modulus"]);
    let digits = modulus.trim().trim_start_matches("Modulus=").as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let modulus: Vec<u8> = digits.chunks(2).map(byte).collect();
    let key = serde_json::json!({
        "type": "service_account",
        "client_email": "rows@riverrun.test",
        "private_key_id": "1",
        "private_key": std::fs::read_to_string(folder.path().join("key.pem")).unwrap(),
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    std::fs::write(file, key.to_string()).unwrap();
    DecodingKey::from_rsa_raw_components(&modulus, &[1, 0, 1])
}

/// Whether a request has a token that the service account has signed for stores.
fn is_signed(request: &Request, key: &DecodingKey) -> bool {
    let token = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
    let claims = token.and_then(|token| decode::<Value>(token, key, &Validation::new(Algorithm::RS256)).ok());
    claims.is_some_and(|token| {
        let scope = "https://www.googleapis.com/auth/cloud-platform";
        token.claims["iss"] == "rows@riverrun.test" && token.claims["scope"] == scope
    })
}

#[test]
fn a_bucket_of_google_is_entered_in_all_ways() {
    if !can_start() {
        return;
    }
    let google = GoogleServer::start();
    let (catalog, with_token) = (google.catalog(), google.xml(has_token));
    let keys = tempfile::tempdir().unwrap();
    let key_file = keys.path().join("gcs.json");
    let key = service_account(&key_file);
    let with_account = google.xml(move |request: &Request| is_signed(request, &key));

    let archived = |history: &str, variables: &[(&'static str, String)]| {
        let folder = Folder::new(&with_history(history));
        let folder = variables.iter().fold(folder, |folder, (name, value)| folder.with_variable(name, value.clone()));
        archives(&folder);
        drop_archive(&catalog);
        folder
    };
    let vended = catalog_of(&catalog, "gs://lake", "gs://lake", &[("gcs.oauth2.token", GCS_TOKEN)]);
    archived(&history(&vended.uri(), &with_token.uri(), ""), &[]);

    let by_file = format!(", service_account = \"file:{}\"", key_file.display());
    archived(&history(&catalog.uri(), &with_account.uri(), &by_file), &[]).assert_no_secret_in_files();
    let named = ("GOOGLE_APPLICATION_CREDENTIALS", key_file.display().to_string());
    archived(&history(&catalog.uri(), &with_account.uri(), ""), &[named]);

    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let machine = Proxy::start(1, move |request: &Request| {
        assert!(request.path.contains("computeMetadata") && request.header("metadata-flavor") == Some("Google"));
        counted.fetch_add(1, Ordering::SeqCst);
        Treatment::Answer(200, format!(r#"{{"access_token":"{GCS_TOKEN}","expires_in":3600}}"#))
    });
    let of_machine = ("GCE_METADATA_HOST", machine.uri().replace("http://", ""));
    archived(&history(&catalog.uri(), &with_token.uri(), ""), &[of_machine]);
    assert!(asked.load(Ordering::SeqCst) > 0, "the machine is asked who it is");

    let for_all = google.xml(|request: &Request| request.header("authorization").is_none_or(|told| told == "Bearer"));
    archived(&history(&catalog.uri(), &for_all.uri(), ", anonymous = true"), &[]);
}

#[test]
fn what_a_bucket_of_google_refuses_is_said_once_and_without_secrets() {
    if !can_start() {
        return;
    }
    let google = GoogleServer::start();
    let (catalog, store) = (google.catalog(), google.xml(has_token));
    let missing = catalog_of(&catalog, "gs://lake", "gs://nowhere", &[]);
    let forbidden = google.xml(|_| true);
    let reader = Proxy::start(forbidden.port, |request: &Request| match request.method.as_str() {
        "PUT" | "POST" => {
            let told = "<Error><Code>AccessDenied</Code><Message>only to look at CANARY-gcs-token</Message></Error>";
            Treatment::Answer(403, told.to_owned())
        }
        _ => Treatment::Pass,
    });
    let keys = tempfile::tempdir().unwrap();
    let half = keys.path().join("half.json");
    std::fs::write(&half, r#"{"type":"service_account","client_email":"CANARY"}"#).unwrap();
    let half = format!(", service_account = \"file:{}\"", half.display());
    let token = ", token = \"env:TEST_GCS_TOKEN\"";
    let own = catalog.uri();
    for (history, expected) in [
        (
            history(&own, &store.uri(), ", token = \"env:TEST_TOKEN\""),
            "the store does not know these keys: look at service_account and token of gcs",
        ),
        (history(&missing.uri(), &store.uri(), token), "there is no bucket \"nowhere\"; make it"),
        (history(&own, &reader.uri(), token), "these keys may not do this in bucket \"lake\""),
        (history(&own, &store.uri(), &half), "is not the key of a service account: it has no private_key_id"),
        (history(&own, "nowhere", token), "look at endpoint of gcs"),
        (history(&own, &store.uri(), ", token = \"env:NOT_SET\""), "the environment variable NOT_SET"),
    ] {
        let told = told_by_an_archive(&history);
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let unknown = Folder::new(&with_history(&history(&own, &store.uri(), "")));
    let unknown = unknown.with_variable("GOOGLE_APPLICATION_CREDENTIALS", "nothing.json");
    unknown.publish("dev", 0..10);
    let told = unknown.refused(&["run", "archive", "--until-caught-up"], "prod");
    assert!(told.contains("look at GOOGLE_APPLICATION_CREDENTIALS") && told.contains("nothing.json"), "{told}");
}

#[test]
fn a_file_of_several_parts_is_whole_in_a_bucket_of_google() {
    if !can_start() {
        return;
    }
    let google = GoogleServer::start();
    let (catalog, parts) = (google.catalog(), Arc::new(AtomicUsize::new(0)));
    let counted = parts.clone();
    let store = google.xml(move |request: &Request| {
        counted.fetch_add(usize::from(request.path.contains("partNumber=")), Ordering::SeqCst);
        true
    });
    let folder = tempfile::tempdir().unwrap();
    let warehouse = anonymous(&catalog, &store, folder.path());
    let claim = warehouse.claim("lake.t", "s").unwrap();
    let mut chance = Chance::new(1);
    let numbers: Vec<i64> = (0..5_000_000).map(|_| chance.number() as i64).collect();
    let column: ArrayRef = Arc::new(Int64Array::from(numbers.clone()));
    let batch = RecordBatch::try_from_iter_with_nullable([("number", column, true)]).unwrap();
    claim.create(&batch.schema(), &TableOptions::default()).unwrap();
    claim.committer().commit(vec![prepared(&claim, &batch, 1).unwrap()]).unwrap();
    assert!(parts.load(Ordering::SeqCst) > 2, "{parts:?} parts");
    let read = all_rows(&warehouse, "lake.t");
    let read = read.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
    assert!(read.eq(numbers), "the rows are others");
}

/// The catalog as a process sees it that shows the store nothing.
fn anonymous(catalog: &RestServer, store: &Proxy, folder: &Path) -> Warehouse {
    let mut settings = RestSettings::new(catalog.uri());
    settings.stores.gcs =
        GcsSettings { endpoint: Some(store.uri()), anonymous: true, service_account: None::<Secret>, token: None };
    Warehouse::open_rest(settings, folder).unwrap()
}
