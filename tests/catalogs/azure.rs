//! Tables whose files lie in Azure's stores: a catalog over S3, behind a proxy that has the locations of the other store in
//! place of its own.

use crate::project::{Folder, with_history};
use crate::ways_in::{archives, make_certificates};
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use std::sync::{Arc, Mutex};
use tests::catalogs::{AZURE_ACCOUNT, AzureServer, Proxy, Request, RestServer, S3Server, Treatment, can_start};

/// A catalog of which a client takes the tables to lie in another store than the own one of the catalog, and that gives what
/// opens it where there is something to give.
pub fn catalog_of(catalog: &RestServer, own: &str, store: &str, gives: &[(&str, &str)]) -> Proxy {
    let mut pairs = vec![(store.to_owned(), own.to_owned())];
    if !gives.is_empty() {
        let config: Vec<String> = gives.iter().map(|(key, value)| format!(r#""{key}":"{value}""#)).collect();
        let (config, begins) = (config.join(","), r#"{"metadata-location":"#.to_owned());
        let credentials = format!(r#"{{"storage-credentials":[{{"prefix":"{store}","config":{{{config}}}}}],"#);
        pairs.push((credentials + &begins[1..], begins));
    }
    Proxy::start(catalog.port, move |_: &Request| Treatment::Translate(pairs.clone()))
}

/// Lets another project make the table of [`archives`] anew.
pub fn drop_archive(catalog: &RestServer) {
    let (status, told) = catalog.request("DELETE", "/v1/namespaces/raw/tables/plays", "");
    assert!((200..300).contains(&status), "{status} {told}");
}

pub fn told_by_an_archive(history: &str) -> String {
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
    let endpoint = format!("endpoint = \"{}\"", azure.endpoint);
    let [good, over] = &azure.signatures;
    let of_account = format!("{AZURE_ACCOUNT}.dfs.core.windows.net");
    let store = format!("abfss://lake@{of_account}");
    let plain = catalog_of(&catalog, "s3://lake", &store, &[]);
    let uri = plain.uri();

    let with_key = format!("catalog = \"{uri}\", azure = {{ {endpoint}, account_key = \"env:TEST_AZURE_KEY\" }}");
    let folder = Folder::new(&with_history(&with_key));
    archives(&folder);
    folder.assert_no_secret_in_files();

    let signed = format!("catalog = \"{uri}\", azure = {{ {endpoint}, sas_token = \"env:TEST_AZURE_SAS\" }}");
    drop_archive(&catalog);
    archives(&Folder::new(&with_history(&signed)).with_variable("TEST_AZURE_SAS", format!("?{good}")));

    // A container that the location names alone is of the account that the settings name.
    let without_account = RestServer::start(Some(&s3));
    let without_account = catalog_of(&without_account, "s3://lake", "abfs://lake", &[]);
    let with_account = format!("{endpoint}, account = \"{AZURE_ACCOUNT}\", account_key = \"env:TEST_AZURE_KEY\"");
    archives(&Folder::new(&with_history(&format!(
        "catalog = \"{}\", azure = {{ {with_account} }}",
        without_account.uri()
    ))));

    let vended = RestServer::start(Some(&s3));
    let vended = catalog_of(&vended, "s3://lake", &store, &[(&format!("adls.sas-token.{of_account}"), good)]);
    archives(&Folder::new(&with_history(&format!("catalog = \"{}\", azure = {{ {endpoint} }}", vended.uri()))));

    let other = RestServer::start(Some(&s3));
    let missing = catalog_of(&other, "s3://lake", &format!("abfss://nowhere@{of_account}"), &[]);
    let ended = catalog_of(&other, "s3://lake", &store, &[(&format!("adls.sas-token.{of_account}"), over)]);
    let key = |name: &str| format!("{endpoint}, account_key = \"env:{name}\"");
    for (uri, azure, expected) in [
        (missing.uri(), key("TEST_AZURE_KEY"), "there is no container \"nowhere\"; make it"),
        (uri.clone(), key("TEST_AZURE_OTHER"), "the store does not know these keys: look at account_key"),
        (
            uri.clone(),
            format!("{endpoint}, account_key = \"env:TEST_TOKEN\""),
            "bucket \"lake\" cannot be opened; look at azure of history",
        ),
        // The server for tests says of a signature whose time is over no more than of a wrong one.
        (ended.uri(), endpoint.clone(), "keys"),
    ] {
        let told = told_by_an_archive(&format!("catalog = \"{uri}\", azure = {{ {azure} }}"));
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

const TENANT: &str = "3e0c3a6a-0000-0000-0000-000000000001";

/// A token as the server of Azure's stores takes it.
fn token() -> String {
    let now = get_current_timestamp();
    let claims = serde_json::json!({
        "iss": format!("https://sts.windows.net/{TENANT}/"),
        "aud": "https://storage.azure.com",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
    });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(b"none looks at it")).unwrap()
}

/// A token server of Entra ID for one client, and where machines ask for the token of their identity.
fn token_server(asked: &Arc<Mutex<Vec<String>>>) -> Proxy {
    let asked = asked.clone();
    Proxy::start(1, move |request: &Request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let seen = asked.clone();
        let saw = move |way: &str| seen.lock().unwrap().push(way.to_owned());
        if request.path.starts_with("/msi/token?") {
            if !request.path.contains("client_id=ours") || request.header("metadata") != Some("true") {
                return Treatment::Answer(400, r#"{"error":"invalid_request"}"#.to_owned());
            }
            saw("identity");
            let ends = get_current_timestamp() + 3600;
            return Treatment::Answer(200, format!(r#"{{"access_token":"{}","expires_on":"{ends}"}}"#, token()));
        }
        let is_known = request.path == format!("/{TENANT}/oauth2/v2.0/token") && body.contains("client_id=ours");
        let way = match (is_known, body.contains("client_secret=CANARY-azure-client")) {
            (true, true) => "secret",
            (true, false) if body.contains("client_assertion=CANARY-federated") => "federated",
            _ => {
                let told = r#"{"error":"invalid_client","error_description":"no such secret CANARY-token"}"#;
                return Treatment::Answer(401, told.to_owned());
            }
        };
        saw(way);
        Treatment::Answer(200, format!(r#"{{"access_token":"{}","expires_in":3600}}"#, token()))
    })
}

#[test]
fn clients_and_identities_get_tokens_for_a_container_of_azure() {
    if !can_start() {
        return;
    }
    let certificates = tempfile::tempdir().unwrap();
    make_certificates(certificates.path());
    let Some(azure) = AzureServer::start_with_tokens(certificates.path()) else { return };
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let store = format!("abfss://lake@{AZURE_ACCOUNT}.dfs.core.windows.net");
    let in_azure = catalog_of(&catalog, "s3://lake", &store, &[]);
    let asked = Arc::default();
    let tokens = token_server(&asked);
    let federated = certificates.path().join("federated");
    std::fs::write(&federated, "CANARY-federated").unwrap();

    let history = |more: &str| {
        let (endpoint, uri, ca) = (&azure.endpoint, in_azure.uri(), certificates.path().display());
        format!("catalog = \"{uri}\", ca = \"file:{ca}/ca.pem\", azure = {{ endpoint = \"{endpoint}\"{more} }}")
    };
    let client = format!(", tenant_id = \"{TENANT}\", client_id = \"ours\"");
    let own_server = format!("{client}, authority_host = \"{}/\"", tokens.uri());
    let by_secret = format!("{own_server}, client_secret = \"env:TEST_AZURE_CLIENT\"");
    let by_file = format!("{own_server}, federated_token = \"file:{}\"", federated.display());
    let of_workload = [
        ("AZURE_FEDERATED_TOKEN_FILE", federated.display().to_string()),
        ("AZURE_CLIENT_ID", "ours".to_owned()),
        ("AZURE_TENANT_ID", TENANT.to_owned()),
        ("AZURE_AUTHORITY_HOST", format!("{}/", tokens.uri())),
    ];
    // A key of the environment does not go before what the settings name.
    let of_machine = [
        ("IDENTITY_ENDPOINT", format!("{}/msi/token", tokens.uri())),
        ("AZURE_STORAGE_ACCOUNT_KEY", "b3RoZXI=".to_owned()),
    ];
    for (way, settings, variables) in [
        ("secret", &by_secret, &[][..]),
        ("federated", &by_file, &[]),
        ("federated", &String::new(), &of_workload),
        ("identity", &", client_id = \"ours\"".to_owned(), &of_machine),
    ] {
        let folder = Folder::new(&with_history(&history(settings)));
        let set = |folder: Folder, (name, value): &(&'static str, String)| folder.with_variable(name, value.clone());
        let folder = variables.iter().fold(folder, set);
        asked.lock().unwrap().clear();
        archives(&folder);
        let asked = asked.lock().unwrap();
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked == way), "{way}: {asked:?}");
        folder.assert_no_secret_in_files();
        drop_archive(&catalog);
    }

    let not_let_in = "the token server does not let this client in: look at tenant_id, client_id, and client_secret or";
    for (settings, expected) in [
        (format!("{own_server}, client_secret = \"env:TEST_TOKEN\""), not_let_in),
        (format!("{own_server}, federated_token = \"file:nothing\""), "look at federated_token of azure"),
        (
            format!("{client}, authority_host = \"nowhere\", client_secret = \"env:TEST_TOKEN\""),
            "authority_host of azure",
        ),
        (format!("{own_server}, client_secret = \"env:NOT_SET\""), "the environment variable NOT_SET"),
    ] {
        let told = told_by_an_archive(&history(&settings));
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
