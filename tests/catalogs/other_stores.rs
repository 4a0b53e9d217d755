//! Tables whose files lie in Azure's stores and in Google's: a catalog over S3, behind a proxy that has the locations of the
//! other store in place of its own. For Azure there is a server; before the S3 server, a proxy stands in for Google, whose
//! interface of XML is that of S3 with a token.

use crate::project::{Folder, GCS_TOKEN, with_history};
use crate::ways_in::archives;
use futures::executor::block_on;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::signer::Signer;
use std::time::Duration;
use tests::catalogs::{
    ACCESS_KEY, AZURE_ACCOUNT, AzureServer, Proxy, REGION, Request, RestServer, S3Server, SECRET_KEY, Treatment,
    can_start,
};

/// A catalog whose tables lie in another store, and that gives what opens it where there is something to give.
fn catalog_of(catalog: &RestServer, store: &str, gives: &[(&str, &str)]) -> Proxy {
    let mut pairs = vec![(store.to_owned(), "s3://lake".to_owned())];
    if !gives.is_empty() {
        let config: Vec<String> = gives.iter().map(|(key, value)| format!(r#""{key}":"{value}""#)).collect();
        let (config, begins) = (config.join(","), r#"{"metadata-location":"#.to_owned());
        let credentials = format!(r#"{{"storage-credentials":[{{"prefix":"{store}","config":{{{config}}}}}],"#);
        pairs.push((credentials + &begins[1..], begins));
    }
    Proxy::start(catalog.port, move |_: &Request| Treatment::Translate(pairs.clone()))
}

fn told_by_an_archive(history: &str) -> String {
    let folder = Folder::new(&with_history(history));
    folder.publish("dev", 0..100);
    folder.refused(&["run", "archive", "--until-caught-up"], "prod")
}

#[test]
fn tables_lie_in_a_container_of_azure() {
    if !can_start() {
        return;
    }
    let Some(azure) = AzureServer::start() else { return };
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let endpoint = format!("endpoint = \"{}\"", azure.endpoint());
    let [good, over] = &azure.signatures;
    let of_account = format!("{AZURE_ACCOUNT}.dfs.core.windows.net");
    let store = format!("abfss://lake@{of_account}");
    let plain = catalog_of(&catalog, &store, &[]);
    let uri = plain.uri();

    let with_key = format!("catalog = \"{uri}\", azure = {{ {endpoint}, account_key = \"env:TEST_AZURE_KEY\" }}");
    let folder = Folder::new(&with_history(&with_key));
    archives(&folder);
    folder.assert_no_secret_in_files();

    // A container that the location names alone is of the account that the settings name.
    let without_account = RestServer::start(Some(&s3));
    let without_account = catalog_of(&without_account, "abfs://lake", &[]);
    let with_account = format!("{endpoint}, account = \"{AZURE_ACCOUNT}\", account_key = \"env:TEST_AZURE_KEY\"");
    archives(&Folder::new(&with_history(&format!(
        "catalog = \"{}\", azure = {{ {with_account} }}",
        without_account.uri()
    ))));

    let vended = RestServer::start(Some(&s3));
    let vended = catalog_of(&vended, &store, &[(&format!("adls.sas-token.{of_account}"), good)]);
    archives(&Folder::new(&with_history(&format!("catalog = \"{}\", azure = {{ {endpoint} }}", vended.uri()))));

    let other = RestServer::start(Some(&s3));
    let missing = catalog_of(&other, &format!("abfss://nowhere@{of_account}"), &[]);
    let ended = catalog_of(&other, &store, &[(&format!("adls.sas-token.{of_account}"), over)]);
    let key = |name: &str| format!("{endpoint}, account_key = \"env:{name}\"");
    for (uri, azure, expected) in [
        (missing.uri(), key("TEST_AZURE_KEY"), "there is no container \"nowhere\"; make it"),
        (uri.clone(), key("TEST_AZURE_OTHER"), "the store does not know these keys: look at account_key"),
        // The server for tests says of a signature whose time is over no more than of a wrong one.
        (ended.uri(), endpoint.clone(), "keys"),
    ] {
        let told = told_by_an_archive(&format!("catalog = \"{uri}\", azure = {{ {azure} }}"));
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

/// What takes requests of a client of Google's stores to the S3 server.
fn as_google(s3: &S3Server) -> Proxy {
    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let (own, key) = (port.clone(), (ACCESS_KEY, SECRET_KEY));
    let proxy = Proxy::start(s3.port, move |request: &Request| {
        if request.header("authorization") != Some(&format!("Bearer {GCS_TOKEN}")) {
            let told = "<Error><Code>AuthenticationRequired</Code><Message>who are you</Message></Error>";
            return Treatment::Answer(401, told.to_owned());
        }
        let path = request.path.split('?').next().unwrap_or_default().trim_start_matches('/');
        let (bucket, key_of_file) = path.split_once('/').unwrap_or((path, ""));
        // The address that the client has sent stands in the signature.
        let endpoint = format!("http://127.0.0.1:{}", own.get().unwrap());
        let signer = AmazonS3Builder::new().with_bucket_name(bucket).with_region(REGION).with_endpoint(&endpoint);
        let signer = signer.with_access_key_id(key.0).with_secret_access_key(key.1).with_allow_http(true);
        let object = ObjectPath::from_url_path(key_of_file).unwrap();
        let method = request.method.parse().unwrap();
        let signed = block_on(signer.build().unwrap().signed_url(method, &object, Duration::from_secs(60)));
        Treatment::PassTo(signed.unwrap().as_str().replacen(&endpoint, "", 1))
    });
    port.set(proxy.port).unwrap();
    proxy
}

#[test]
fn tables_lie_in_a_bucket_of_google() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let google = as_google(&s3);
    let endpoint = format!("endpoint = \"{}\"", google.uri());
    let catalog = RestServer::start(Some(&s3));
    let of_settings = catalog_of(&catalog, "gs://lake", &[]);
    let history =
        format!("catalog = \"{}\", gcs = {{ {endpoint}, token = \"env:TEST_GCS_TOKEN\" }}", of_settings.uri());
    let folder = Folder::new(&with_history(&history));
    archives(&folder);
    folder.assert_no_secret_in_files();

    let vended = RestServer::start(Some(&s3));
    let vended = catalog_of(&vended, "gs://lake", &[("gcs.oauth2.token", GCS_TOKEN)]);
    archives(&Folder::new(&with_history(&format!("catalog = \"{}\", gcs = {{ {endpoint} }}", vended.uri()))));

    let other = RestServer::start(Some(&s3));
    let (wrong, missing) = (catalog_of(&other, "gs://lake", &[]), catalog_of(&other, "gs://nowhere", &[]));
    for (uri, token, expected) in [
        (wrong.uri(), "TEST_TOKEN", "the store does not know these keys: look at service_account and token of gcs"),
        (missing.uri(), "TEST_GCS_TOKEN", "there is no bucket \"nowhere\"; make it"),
    ] {
        let told = told_by_an_archive(&format!("catalog = \"{uri}\", gcs = {{ {endpoint}, token = \"env:{token}\" }}"));
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
