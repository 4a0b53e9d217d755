//! What is said when a catalog or a store does not let a project in, or has not what it wants: one clear error, and no
//! secret in it.

use crate::project::{Folder, with_history};
use tests::catalogs::{ACCESS_KEY, Proxy, REGION, Request, RestServer, S3Server, Treatment, can_start};

fn refusal(status: u16, kind: &str, message: &str) -> Treatment {
    let body = format!(r#"{{"error":{{"message":"{message}","type":"{kind}","code":{status},"stack":["at x"]}}}}"#);
    Treatment::Answer(status, body)
}

/// The key `s3` with something in it that is wrong.
fn s3(endpoint: &str, region: &str, access_key: &str, secret: &str) -> String {
    format!(
        "s3 = {{ endpoint = \"{endpoint}\", region = \"{region}\", path_style = true, access_key = \"{access_key}\", \
         secret_key = \"{secret}\" }}"
    )
}

#[test]
fn what_a_catalog_refuses_is_said_once_and_without_secrets() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let says = |status: u16, kind: &'static str, message: &'static str| {
        Proxy::start(catalog.port, move |_: &Request| refusal(status, kind, message))
    };
    let wants_token = says(401, "NotAuthorizedException", "who are you");
    let repeats_token = says(401, "NotAuthorizedException", "token CANARY-token is unknown");
    let not_permitted = says(403, "ForbiddenException", "not for you");
    let no_warehouse = says(404, "NoSuchWarehouseException", "no warehouse x");
    let newer = Proxy::start(catalog.port, |request: &Request| match request.path.contains("/tables/") {
        true => Treatment::Answer(200, r#"{"metadata-location":"x","metadata":{"format-version":9}}"#.to_owned()),
        false => Treatment::Pass,
    });
    let away = says(503, "ServiceUnavailable", "later");
    let uri = |proxy: &Proxy| format!("catalog = \"{}\"", proxy.uri());
    let token = "token = \"env:TEST_TOKEN\"";
    let client = "credential = \"env:TEST_CLIENT\"";
    let none = format!("catalog = \"{}\"", catalog.uri());
    for (history, expected) in [
        (uri(&wants_token), "it wants a token"),
        (format!("{}, {token}", uri(&repeats_token)), "the token is wrong or has expired"),
        (format!("{}, {client}", uri(&repeats_token)), "refuses the client (401)"),
        (format!("{}, {client}", uri(&no_warehouse)), "is no token server (404)"),
        (uri(&not_permitted), "does not permit this client to do that (403 ForbiddenException: not for you)"),
        (format!("{}, warehouse = \"x\"", uri(&no_warehouse)), "knows no such warehouse"),
        (uri(&newer), "has version 9 of the table format, and versions up to 3 are read"),
        (uri(&away), "answers 503"),
        (format!("{none}, token = \"env:NOT_SET\""), "the environment variable NOT_SET"),
        (format!("{none}, token = \"file:nothing\""), "nothing with the token of the catalog cannot be read"),
        (format!("{none}, token = \"file:two_lines\""), "two_lines with the token of the catalog holds a line break"),
        (format!("{none}, ca = \"file:nothing.pem\""), "nothing.pem cannot be used"),
        ("catalog = \"http://127.0.0.1:1\"".to_owned(), "does not answer"),
        ("catalog = \"https://u:CANARY@h\"".to_owned(), "has a user in it"),
        ("catalog = \"ftp://h\"".to_owned(), "is not one of the web"),
        (format!("{none}, token = \"CANARY\""), "has the token of its catalog in plain text"),
        (format!("{none}, tokn = \"CANARY\""), "unknown field `tokn`"),
    ] {
        let folder = Folder::new(&with_history(&history));
        std::fs::write(folder.path().join("two_lines"), "CANARY\nof two lines\n").unwrap();
        let told = folder.refused(&["query", "SELECT * FROM lake.nothing"], "prod");
        assert!(told.contains(expected), "{history}: {told}");
    }
    // On somebody's own machine a secret may stand in the file.
    let settings = with_history(&format!("{}, token = \"CANARY\"", uri(&not_permitted)));
    let settings = settings.replace("env.dev]", "env.other]").replace("env.prod]", "env.dev]");
    let told = Folder::new(&settings).refused(&["query", "SELECT * FROM lake.nothing"], "dev");
    assert!(told.contains("stands in riverrun.toml as plain text") && told.contains("does not permit"), "{told}");
}

#[test]
fn a_client_that_may_read_and_not_commit_is_told_so() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let reader = Proxy::start(catalog.port, |request: &Request| match request.method.as_str() {
        "POST" => refusal(403, "ForbiddenException", "only to look at"),
        _ => Treatment::Pass,
    });
    let folder = Folder::new("");
    let enter_by = |uri: &str| {
        let settings = with_history(&format!("catalog = \"{uri}\", token = \"env:TEST_TOKEN\""));
        std::fs::write(folder.path().join("riverrun.toml"), settings).unwrap();
    };
    // A table that is not there cannot be made, and one that is there cannot be committed to.
    for events in [0..100, 100..200] {
        enter_by(&reader.uri());
        folder.publish("dev", events);
        let told = folder.refused(&["run", "archive", "--until-caught-up"], "prod");
        assert!(
            told.contains("does not permit this client to do that (403 ForbiddenException: only to look at)"),
            "{told}"
        );
        assert!(!told.contains("at x"), "{told}");
        enter_by(&catalog.uri());
        folder.to_end(&["run", "archive", "--until-caught-up"], "prod");
    }
    enter_by(&reader.uri());
    let read = folder.printed(&["query", "SELECT count(*) FROM raw.plays", "--csv"], "prod");
    assert_eq!(read.lines().nth(1), Some("200"), "{read}");
}

#[test]
fn a_view_is_refused_by_name() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let (status, told) = catalog.request("POST", "/v1/namespaces", r#"{"namespace":["lake"],"properties":{}}"#);
    assert_eq!(status, 200, "{told}");
    let view = r#"{"name":"seen","schema":{"type":"struct","schema-id":0,"fields":[{"id":1,"name":"a","required":false,
        "type":"int"}]},"view-version":{"version-id":1,"timestamp-ms":1,"schema-id":0,"summary":{},"representations":[{
        "type":"sql","sql":"SELECT 1 AS a","dialect":"spark"}],"default-namespace":["lake"]},"properties":{}}"#;
    let (status, told) = catalog.request("POST", "/v1/namespaces/lake/views", view);
    assert_eq!(status, 200, "{told}");
    let folder = Folder::new(&with_history(&format!("catalog = \"{}\"", catalog.uri())));
    let told = folder.refused(&["query", "SELECT * FROM lake.seen"], "prod");
    assert!(told.contains("\"lake.seen\" is a view of the catalog"), "{told}");
}

#[test]
fn what_a_store_refuses_is_said_once_and_without_secrets() {
    if !can_start() {
        return;
    }
    let store = S3Server::start();
    let catalog = RestServer::start(Some(&store));
    let skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>too late</Message></Error>";
    let late = Proxy::start(store.port, |_: &Request| Treatment::Answer(403, skewed.to_owned()));
    // As AWS does it: the token itself stands beside what is said.
    let ended = "<Error><Code>ExpiredToken</Code><Message>it is over</Message><Token-0>CANARY-token</Token-0></Error>";
    let ended = Proxy::start(store.port, |_: &Request| Treatment::Answer(400, ended.to_owned()));
    let empty = S3Server::start_empty();
    store.add_user("stranger", "CANARY-client");
    let right = "env:TEST_S3_SECRET";
    let (endpoint, wrong) = (store.endpoint(), "env:TEST_TOKEN");
    let run = |s3: &str| {
        let folder = Folder::new(&with_history(&format!("catalog = \"{}\", {s3}", catalog.uri())));
        folder.publish("dev", 0..100);
        folder.refused(&["run", "archive", "--until-caught-up"], "prod")
    };
    for (s3, expected) in [
        (s3(&endpoint, REGION, ACCESS_KEY, wrong), "the store does not know these keys"),
        (s3(&endpoint, REGION, "nobody", right), "the store does not know these keys"),
        (s3(&endpoint, "mars-1", ACCESS_KEY, right), "lies in another region; set region of s3"),
        (s3(&late.uri(), REGION, ACCESS_KEY, right), "the clock of this machine differs from that of the store"),
        (s3(&ended.uri(), REGION, ACCESS_KEY, right), "the keys have expired"),
        (s3(&endpoint, REGION, "stranger", "env:TEST_STRANGER"), "these keys may not do this in bucket \"lake\""),
        (s3(&empty.endpoint(), REGION, ACCESS_KEY, right), "there is no bucket \"lake\""),
    ] {
        let told = run(&s3);
        assert!(told.contains(expected), "{s3}: {told}");
    }
}
