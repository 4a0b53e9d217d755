//! What is refused of `[env.NAME.names]`, and what is warned of.

use crate::folder::{Folder, RUN};
use crate::server::{Server, told, told_by, wait_until_told};
use serde_json::json;
use std::process::{Command, Output};

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, amount DOUBLE, total DOUBLE FROM sums.total,
  WATERMARK FOR at AS at - INTERVAL '1' SECOND) LIVE m;
INSERT INTO TOPIC n SELECT * FROM m;
";

fn check(folder: &Folder) -> Output {
    let mut command = Command::new(tests::riverrun());
    command.arg("--project").arg(folder.path()).arg("check").output().unwrap()
}

fn said(ran: &Output) -> String {
    told(ran)
}

#[test]
fn wrong_names_are_told_where_they_stand() {
    let folder = Folder::new(SQL, "[]");
    for (names, place, what) in [
        ("m = [\"pubsub:projects/p/subscription/m\"]", "11:5", "\"pubsub:projects/p/subscription/m\" is no place"),
        ("m = [\"pulsar:m\"]", "11:5", "\"pulsar:m\" is not where m is"),
        (
            "m = \"pubsub:projects/p/subscriptions/m\"\nn = \"pubsub:projects/p/subscriptions/m\"",
            "12:5",
            "subscription projects/p/subscriptions/m stands here and for m",
        ),
        (
            "k = [\"pubsub:projects/p/subscriptions/m\"]",
            "11:5",
            "[env.dev.names] of riverrun.toml has \"k\", which is no topic of the project",
        ),
        (
            "m = [\"local:m\", \"pubsub:projects/p/subscriptions/m?details=amount\"]",
            "11:17",
            "puts what Pub/Sub says into the field \"amount\" of each message, from which stream \"m\" reads its column \
             \"amount\"",
        ),
        (
            "m = [\"pubsub:projects/p/subscriptions/m?details=_time\"]",
            "11:5",
            "\"_time\" of details is a reserved name",
        ),
        ("m = [\"pubsub:projects/p/subscriptions/m?details=a.b\"]", "11:5", "\"a.b\" of details has a dot"),
        ("m = [\"pubsub:projects/p/subscriptions/m?details=a&details=b\"]", "11:5", "has details= twice"),
        ("m = [\"pubsub:projects/p/subscriptions/m?details=a&details\"]", "11:5", "has details without a field"),
        ("m = [\"pubsub:projects/p/subscriptions/m \"]", "11:5", "has a blank"),
        (
            "m = [\"pubsub:projects/p/subscriptions/m\", \"pubsub:projects/p/subscriptions/m\"]",
            "11:5",
            "subscription projects/p/subscriptions/m stands twice in this list",
        ),
        (
            "n = [\"pubsub:projects/p/topics/n\", \"pubsub:projects/p/topics/n\"]",
            "11:5",
            "topic projects/p/topics/n of Pub/Sub stands twice in this list",
        ),
        (
            "n = [\"local:n\", \"pubsub:projects/p/subscriptions/n\"]",
            "11:17",
            "would be copied into topic n, which this project writes itself",
        ),
    ] {
        folder.name(names);
        let ran = check(&folder);
        let said = said(&ran);
        assert_eq!(ran.status.code(), Some(1), "{names}: {said}");
        assert!(said.contains(&format!("riverrun.toml:{place}: error: ")), "{names}: {said}");
        assert!(said.contains(what), "{names}: {said}");
    }
    // Other commands refuse them too, before they ask for anything.
    let mut run = Command::new(tests::riverrun());
    let ran = run.arg("--project").arg(folder.path()).arg("run").output().unwrap();
    assert!(ran.status.code() == Some(1) && said(&ran).contains("riverrun.toml:11:17: error: "), "{}", said(&ran));
}

#[test]
fn fields_of_details_that_columns_read_are_right() {
    let whole = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, pubsub TEXT FROM pubsub.message_id,
  sums DOUBLE FROM sums.total, WATERMARK FOR at AS at - INTERVAL '1' SECOND) LIVE m;
INSERT INTO TOPIC n SELECT id, at FROM m;
";
    let folder = Folder::new(whole, "[]");
    for field in ["pubsub", "sums", "other-1"] {
        folder.name(&format!("m = [\"pubsub:projects/p/subscriptions/m?details={field}\"]"));
        let ran = check(&folder);
        assert_eq!(ran.status.code(), Some(0), "{field}: {}", said(&ran));
    }
}

fn with_dedup(dedup: &str) -> Folder {
    let sql = format!(
        "CREATE STREAM m (id BIGINT, at TIMESTAMP, attempt INT FROM pubsub.delivery_attempt, message TEXT FROM \
         pubsub.message_id, WATERMARK FOR at AS at - INTERVAL '1' SECOND, {dedup}) LIVE m;
         INSERT INTO TOPIC n SELECT id, at FROM m;"
    );
    Folder::new(&sql, r#"["local:m", "pubsub:projects/p/subscriptions/m?details=pubsub"]"#)
}

#[test]
fn a_dedup_that_copies_pass_is_warned_of_by_check_and_at_the_start() {
    for (dedup, what) in [
        (
            "DEDUP ON (id) WITHIN INTERVAL '5' MINUTE",
            "DEDUP of stream \"m\" forgets a row before Pub/Sub gives a message",
        ),
        ("DEDUP ON (id, attempt) WITHIN INTERVAL '1' DAY", "DEDUP of stream \"m\" looks at column \"attempt\""),
    ] {
        let folder = with_dedup(dedup);
        let ran = check(&folder);
        let said = said(&ran);
        assert_eq!(ran.status.code(), Some(0), "{said}");
        assert!(said.contains("riverrun.toml:11:17: warning: ") && said.contains(what), "{said}");
    }
    let ran = check(&with_dedup("DEDUP ON (message) WITHIN INTERVAL '10' MINUTE"));
    assert!(ran.status.success() && !said(&ran).contains("warning"), "{}", said(&ran));

    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({ "enableMessageOrdering": true }));
    let folder = with_dedup("DEDUP ON (id) WITHIN INTERVAL '5' MINUTE");
    for command in [&["run"][..], &["tail", "m"], &["pubsub", "mirror", "m"]] {
        let mut program = server.begin(folder.path(), command);
        wait_until_told(&program, "copying subscription projects/p/subscriptions/m into topic m");
        let said = told_by(&program);
        assert!(said.contains("warning: DEDUP of stream \"m\" forgets a row"), "{command:?}: {said}");
        assert!(!said.contains("without message ordering"), "{command:?}: {said}");
        program.interrupt();
        program.ended(RUN).expect("it ends");
    }
}

#[test]
fn a_subscription_that_keeps_no_order_is_told_at_the_start() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#);
    for command in [&["run"][..], &["tail", "m"], &["pubsub", "mirror", "m"]] {
        let mut program = server.begin(folder.path(), command);
        wait_until_told(
            &program,
            "it was made without message ordering, so that messages of one key come in any order",
        );
        program.interrupt();
        program.ended(RUN).expect("it ends");
    }
}
