//! Tables whose files lie in Azure's stores: a catalog over S3, behind a proxy that has the locations of the other store in
//! place of its own.

use crate::project::{Folder, with_history};
use crate::ways_in::archives;
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
    let endpoint = format!("endpoint = \"{}\"", azure.endpoint());
    let [good, over] = &azure.signatures;
    let of_account = format!("{AZURE_ACCOUNT}.dfs.core.windows.net");
    let store = format!("abfss://lake@{of_account}");
    let plain = catalog_of(&catalog, "s3://lake", &store, &[]);
    let uri = plain.uri();

    let with_key = format!("catalog = \"{uri}\", azure = {{ {endpoint}, account_key = \"env:TEST_AZURE_KEY\" }}");
    let folder = Folder::new(&with_history(&with_key));
    archives(&folder);
    folder.assert_no_secret_in_files();

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
        // The server for tests says of a signature whose time is over no more than of a wrong one.
        (ended.uri(), endpoint.clone(), "keys"),
    ] {
        let told = told_by_an_archive(&format!("catalog = \"{uri}\", azure = {{ {azure} }}"));
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
