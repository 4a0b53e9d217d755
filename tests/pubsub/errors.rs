//! What cannot be copied is one error that names the thing and what to do.

use crate::folder::{Folder, RUN};
use crate::server::{Server, told_by, wait_until_told};
use serde_json::json;
use tests::machine::{SECOND, now, pause};

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) LIVE m;
INSERT INTO TOPIC n SELECT * FROM m;
";
const MIRROR: [&str; 3] = ["pubsub", "mirror", "m"];

fn of(subscription: &str) -> Folder {
    Folder::new(SQL, &format!(r#"["local:m", "pubsub:{subscription}"]"#))
}

#[test]
fn what_is_not_there_or_not_allowed_is_one_error() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    server.make("locked", "m", json!({}));
    server.done("POST", "projects/locked:deny", &json!({}));
    for (subscription, what) in [
        ("projects/p/subscriptions/other", "subscription projects/p/subscriptions/other does not exist in"),
        ("projects/q/subscriptions/m", "subscription projects/q/subscriptions/m does not exist in"),
        ("projects/locked/subscriptions/m", "no permission on subscription projects/locked/subscriptions/m in"),
    ] {
        for command in [&MIRROR[..], &["run"]] {
            let folder = of(subscription);
            let told = server.refused(folder.path(), command);
            // Where the account may not look, only receiving tells that it may not receive either.
            let is_seen = !subscription.contains("locked");
            assert!(!is_seen || !folder.path().join("topics/m").exists(), "{command:?}: a topic was left behind");
            assert_eq!(told.matches("error").count(), 1, "{command:?}: {told}");
            assert!(told.contains(what), "{command:?}: {told}");
        }
    }
    let told = server.refused(of("projects/locked/subscriptions/m").path(), &MIRROR);
    assert!(told.contains("give this account the role roles/pubsub.subscriber"), "{told}");
    let told = server.refused(Folder::new(SQL, "[]").path(), &MIRROR);
    assert!(told.contains("\"m\" has no subscription of Pub/Sub: name one under [env.NAME.names]"), "{told}");
}

#[test]
fn an_output_that_is_not_there_is_told_before_anything_runs() {
    let Some(server) = Server::start() else { return };
    let folder = Folder::new(SQL, "[]");
    folder.name("n = [\"pubsub:projects/p/topics/n\"]");
    let told = server.refused(folder.path(), &["run"]);
    assert!(told.contains("topic projects/p/topics/n does not exist in"), "{told}");
    folder.name("m = [\"pubsub:projects/p/topics/m\"]");
    std::fs::write(folder.path().join("m.jsonl"), "{\"id\":1,\"at\":\"2026-01-01\"}\n").unwrap();
    let told = server.refused(folder.path(), &["publish", "m", "m.jsonl"]);
    assert!(told.contains("topic projects/p/topics/m does not exist in"), "{told}");
}

#[test]
fn a_topic_that_is_deleted_under_its_subscription_ends_the_mirror() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = of("projects/p/subscriptions/m");
    let mut mirror = server.begin(folder.path(), &MIRROR);
    let run = of("projects/p/subscriptions/m");
    let run = server.begin(run.path(), &["tail", "m"]);
    mirror.ready();
    wait_until_told(&run, "copying subscription");
    server.done("DELETE", "projects/p/topics/m", &json!({}));
    let ended = mirror.ended(RUN).expect("it ends by itself");
    let what = "the topic of subscription projects/p/subscriptions/m was deleted in";
    assert!(ended.code == Some(1) && ended.told.contains(what), "{}", ended.told);
    // What runs beside a mirror goes on, and says so once.
    wait_until_told(&run, what);
    pause(7 * SECOND);
    assert_eq!(told_by(&run).matches(what).count(), 1, "{}", run.told());
    assert_eq!(told_by(&run).matches("copying subscription").count(), 1, "{}", run.told());
}

#[test]
fn a_server_that_is_down_is_named() {
    let Some(server) = Server::start() else { return };
    server.stop();
    let folder = of("projects/p/subscriptions/m");
    for command in [&MIRROR[..], &["run"]] {
        let told = server.refused(folder.path(), command);
        let what = format!("no server of Pub/Sub answers at PUBSUB_EMULATOR_HOST={}", server.address);
        assert!(told.contains(&what) && told.contains("`riverrun pubsub start` starts one"), "{told}");
    }
    for (host, what) in [
        ("localhost", "PUBSUB_EMULATOR_HOST is \"localhost\", expected HOST:PORT"),
        ("localhost:port", "PUBSUB_EMULATOR_HOST is \"localhost:port\", expected HOST:PORT"),
        ("nothing.invalid:1", "no server of Pub/Sub answers at PUBSUB_EMULATOR_HOST=nothing.invalid:1"),
    ] {
        let ran = server.command(folder.path(), &MIRROR).env("PUBSUB_EMULATOR_HOST", host).output().unwrap();
        assert!(crate::server::told(&ran).contains(what), "{host}: {}", crate::server::told(&ran));
    }
    // Google's own service: the credentials are not there.
    let mut command = server.command(folder.path(), &MIRROR);
    command.env_remove("PUBSUB_EMULATOR_HOST").env("GOOGLE_APPLICATION_CREDENTIALS", folder.path().join("none.json"));
    let told = crate::server::told(&command.output().unwrap());
    assert!(
        told.contains("no client of Google Pub/Sub can be made") && told.contains("PUBSUB_EMULATOR_HOST"),
        "{told}"
    );
}

/// Where nothing names credentials, and the machine is none of Google's cloud.
#[test]
fn a_machine_without_credentials_is_told_at_once_what_to_do() {
    let Some(server) = Server::start() else { return };
    let folder = of("projects/p/subscriptions/m");
    for command in [&MIRROR[..], &["run"], &["tail", "m"]] {
        let begun = now();
        let mut command = server.command(folder.path(), command);
        command.env_remove("PUBSUB_EMULATOR_HOST").env_remove("GOOGLE_APPLICATION_CREDENTIALS");
        let ran = command.env("HOME", folder.path()).env("GCE_METADATA_HOST", "127.0.0.1:1").output().unwrap();
        let told = crate::server::told(&ran).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.status.code() == Some(1) && now() < begun + 8 * SECOND, "{told}");
        for what in [
            "there are no credentials for Google Pub/Sub",
            "the file that GOOGLE_APPLICATION_CREDENTIALS names (the key of a service account",
            "~/.config/gcloud/application_default_credentials.json, which `gcloud auth application-default login` writes",
            "its metadata server",
            "PUBSUB_EMULATOR_HOST=HOST:PORT names a server on this machine",
        ] {
            assert!(told.contains(what), "{what}: {told}");
        }
    }
}
