//! Nothing secret is shown, whatever goes wrong: catalogs, token servers and stores that repeat all that they were sent, in
//! every error that they have, and all that a project prints, says and keeps.

use crate::project::{EVENTS, Folder, RUN, history_of, with_history};
use serde_json::json;
use std::thread;
use tests::catalogs::{ACCESS_KEY, Proxy, REGION, Request, RestServer, S3Server, Treatment, can_start};

/// All that a client has sent.
fn all_of(request: &Request) -> String {
    let headers = request.headers.iter().map(|(name, value)| format!("{name}={value}"));
    let body = String::from_utf8_lossy(&request.body).into_owned();
    headers.chain([request.path.clone(), body]).collect::<Vec<_>>().join(" ")
}

/// A catalog or a token server that refuses with what it was sent, in the form of a catalog's error or of none.
fn repeating_catalog(upstream: u16, status: u16, is_form: bool) -> Proxy {
    Proxy::start(upstream, move |request: &Request| {
        let all = all_of(request);
        let error = json!({ "error": { "message": all, "type": all, "code": status }, "access_token": 7, "said": all });
        Treatment::Answer(status, if is_form { error.to_string() } else { all })
    })
}

#[test]
fn what_a_catalog_repeats_is_not_shown() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let token = "token = \"env:TEST_TOKEN\"";
    let client = "credential = \"env:TEST_CLIENT\"";
    let headers = "headers = { X-Api-Key = \"env:TEST_HEADER\" }";
    let trial = |status: u16, is_form: bool| {
        let proxy = repeating_catalog(catalog.port, status, is_form);
        let uri = proxy.uri();
        let by_token = format!("catalog = \"{uri}\", {token}, {headers}");
        let by_client = format!("catalog = \"{uri}\", {client}, {headers}");
        let by_other = format!("catalog = \"{}\", {client}, oauth2_uri = \"{uri}\"", catalog.uri());
        for history in [by_token, by_client, by_other] {
            // What is printed and said is looked through by all commands.
            Folder::new(&with_history(&history)).refused(&["query", "SELECT * FROM lake.nothing"], "prod");
        }
    };
    let trial = &trial;
    for statuses in [[200, 302, 400, 401, 403], [404, 409, 419, 429, 500]] {
        thread::scope(|scope| {
            for status in statuses {
                scope.spawn(move || [true, false].map(|is_form| trial(status, is_form)));
            }
        });
    }
    // The same, where the catalog reads and only a commit goes wrong.
    for status in [400, 401, 403, 404, 422] {
        let proxy = Proxy::start(catalog.port, move |request: &Request| match request.is_commit() {
            true => {
                let all = all_of(request);
                let error = json!({ "error": { "message": all, "type": all, "code": status } });
                Treatment::Answer(status, error.to_string())
            }
            false => Treatment::Pass,
        });
        let folder = Folder::new(&with_history(&format!("catalog = \"{}\", {token}, {headers}", proxy.uri())));
        folder.publish("dev", 0..100);
        folder.refused(&["run", "archive", "--until-caught-up"], "prod");
        folder.assert_no_secret_in_files();
    }
}

#[test]
fn what_a_store_repeats_is_not_shown() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let folder = |history: &str| Folder::new(&with_history(history));
    let good = folder(&history_of(&catalog.uri(), &s3.endpoint()));
    good.publish("dev", 0..100);
    good.to_end(&["run", "archive", "--until-caught-up"], "prod");
    let trial = |status: u16, is_form: bool| {
        let proxy = Proxy::start(s3.port, move |request: &Request| {
            let all = all_of(request);
            let error = format!("<Error><Code>{all}</Code><Message>{all}</Message><Token-0>{all}</Token-0></Error>");
            Treatment::Answer(status, if is_form { error } else { all })
        });
        // The server of a test takes no tokens of sessions: this one is for what repeats it.
        let history = format!(
            "catalog = \"{}\", s3 = {{ endpoint = \"{}\", region = \"{REGION}\", access_key = \"{ACCESS_KEY}\", secret_key = \
             \"env:TEST_S3_SECRET\", session_token = \"env:TEST_SESSION\" }}",
            catalog.uri(),
            proxy.uri()
        );
        let broken = folder(&history);
        broken.refused(&["query", "SELECT sum(id) FROM raw.plays"], "prod");
        broken.assert_no_secret_in_files();
    };
    let trial = &trial;
    thread::scope(|scope| {
        for status in [400, 401, 403, 404, 409, 412, 416, 500] {
            scope.spawn(move || [true, false].map(|is_form| trial(status, is_form)));
        }
    });
}

#[test]
fn what_a_project_prints_says_and_keeps_holds_no_secret() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let history = format!(
        "{}, token = \"env:TEST_TOKEN\", headers = {{ X-Api-Key = \"env:TEST_HEADER\" }}",
        history_of(&catalog.uri(), &s3.endpoint())
    );
    let folder = Folder::new(&with_history(&history));
    folder.publish("dev", 0..EVENTS / 4);
    folder.to_end(&["run", "archive", "--until-caught-up"], "prod");
    let mut job = folder.start(&["run"], "prod");
    folder.wait_for_rows("prod", 1);
    for arguments in [&["check"][..], &["plan"], &["explain", "counted"], &["jobs"], &["jobs", "--json"]] {
        folder.to_end(arguments, "prod");
    }
    let savepoint = folder.path().join("savepoint");
    folder.to_end(&["stop", "--to", savepoint.to_str().unwrap()], "prod");
    let ended = job.ended(RUN).expect("a job that is stopped ends");
    assert!(ended.code == Some(0) && !ended.told.contains("CANARY"), "{}", ended.told);
    folder.to_end(&["query", "SELECT * FROM lake.deep.counted", "--csv"], "prod");
    // The checkpoints and the savepoint are among the files.
    assert!(savepoint.exists() && folder.path().join("_riverrun/prod").exists());
    folder.assert_no_secret_in_files();
}
