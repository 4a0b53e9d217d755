//! What Pub/Sub says of a message: columns where asked, its publish time as arrival, attempts, exactly-once delivery.

use crate::folder::{Folder, RUN, field};
use crate::server::Server;
use serde_json::json;

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, message_id TEXT FROM pubsub.message_id,
  published_at TIMESTAMP FROM pubsub.publish_time, attempt INT FROM pubsub.delivery_attempt,
  source TEXT FROM pubsub.attributes.source,
  WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER
) LIVE m;
";

#[test]
fn ids_times_attempts_and_attributes_are_columns() {
    let Some(server) = Server::start() else { return };
    server.done("PUT", "projects/p/topics/dead", &json!({}));
    let dead = json!({ "deadLetterTopic": "projects/p/topics/dead", "maxDeliveryAttempts": 5 });
    server.make("p", "m", json!({ "deadLetterPolicy": dead, "enableExactlyOnceDelivery": true }));
    let folder = Folder::new(SQL, r#"["pubsub:projects/p/subscriptions/m?details=pubsub"]"#);
    let data = "eyJpZCI6NywiYXQiOiIyMDI2LTAxLTAxIn0="; // {"id":7,"at":"2026-01-01"}
    let message = json!({ "data": data, "attributes": { "source": "app" } });
    server.done("POST", "projects/p/topics/m:publish", &json!({ "messages": [message] }));
    // Its second delivery is ours.
    let first = server.pull("p", "m", 1);
    server.refuse("p", "m", &[first[0].0.clone()]);
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "3s"]);
    let log = folder.log("m");
    assert_eq!(log[0].len(), 1);
    let published_at = field(&log[0][0], "pubsub")["publish_time"].as_str().unwrap().to_owned();
    assert_eq!(log[0][0].arrival.to_string(), published_at, "it arrived when it was published");
    let sql = "SELECT id, message_id, attempt, source FROM m";
    let printed = server.printed(folder.path(), &["query", sql, "--csv"]);
    let id = first[0].1["messageId"].as_str().unwrap();
    assert_eq!(printed.lines().nth(1), Some(format!("7,{id},2,app").as_str()));
    assert!(server.pull("p", "m", 1).is_empty(), "it was acknowledged");
}

/// Whatever a publisher writes in the field that is asked for: DEDUP on the id of Pub/Sub would drop its messages.
#[test]
fn what_pubsub_says_stands_where_a_message_has_the_field_itself() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let sql = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, message_id TEXT FROM pubsub.message_id,
  WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER) LIVE m;
";
    let folder = Folder::new(sql, r#"["pubsub:projects/p/subscriptions/m?details=pubsub"]"#);
    let own = ["null", "7", "{\"message_id\":\"forged\"}", "{}"];
    let mut messages: Vec<(String, String)> = (0..own.len())
        .map(|id| {
            let name = if id == 2 { "pu\\u0062sub" } else { "pubsub" };
            (format!("{{\"id\":{id},\"at\":\"2026-01-01\",\"{name}\":{}}}", own[id]), String::new())
        })
        .collect();
    messages.push(("{ \"id\" : 4, \"at\":\"2026-01-01\" }".to_owned(), String::new()));
    server.publish("p", "m", &messages);
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "3s"]);
    let sql =
        "SELECT count(*), count(DISTINCT id), count(DISTINCT message_id), count(nullif(message_id, 'forged')) FROM m";
    let printed = server.printed(folder.path(), &["query", sql, "--csv"]);
    assert_eq!(printed.lines().nth(1), Some("5,5,5,5"));
}

/// While no mirror runs, the topic's clock stands still: what waited in Pub/Sub is not late when it comes.
#[test]
fn what_waited_while_nothing_ran_is_not_late() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({ "enableMessageOrdering": true }));
    let sql = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) LIVE m;
INSERT INTO lake.rows SELECT id, _late FROM m;
";
    let folder = Folder::new(sql, r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#);
    let publish = |id: usize| {
        let at = dataflow::ProcessingTime(tests::machine::now()).to_string();
        server.publish("p", "m", &[(json!({ "id": id, "at": at }).to_string(), "k".to_owned())]);
    };
    publish(0);
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "2s"]);
    let ran = |server: &Server| server.printed(folder.path(), &["run", "--until-caught-up"]);
    ran(&server);
    for id in 1..5 {
        publish(id);
        tests::machine::pause(tests::machine::SECOND / 5);
    }
    // The default QUIET is a second: the clock would have run on by more than the delay.
    tests::machine::pause(6 * tests::machine::SECOND);
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "3s"]);
    folder.wait_for(5, RUN);
    ran(&server);
    let printed = server.printed(folder.path(), &["query", "SELECT id, _late FROM lake.rows ORDER BY id", "--csv"]);
    let rows: Vec<&str> = printed.lines().skip(1).collect();
    assert_eq!(rows, ["0,false", "1,false", "2,false", "3,false", "4,false"]);
}
