//! A connection that stands still: nobody is told, and what is asked beside it is answered.

use crate::folder::{Folder, RUN};
use crate::proxy::Proxy;
use crate::server::{Outgoing, Server, told_by};
use serde_json::json;
use tests::Program;
use tests::machine::{SECOND, pause};

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER) LIVE m;
";

fn message(id: usize) -> Outgoing {
    (json!({ "id": id, "at": "2026-01-01 00:00:00" }).to_string(), String::new())
}

#[test]
fn a_connection_that_stands_still_is_made_anew_and_that_is_said_once() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#);
    let proxy = Proxy::start(&server.address);
    let mut command = server.command(folder.path(), &["pubsub", "mirror", "m"]);
    command.env("PUBSUB_EMULATOR_HOST", &proxy.address);
    let mut mirror = Program::spawn(command);
    server.publish("p", "m", &[message(0)]);
    folder.wait_for(1, RUN);
    // Its acknowledgement is under way for a tenth of a second.
    pause(2 * SECOND);
    assert!(proxy.hold_messages() > 0);
    server.publish("p", "m", &[message(1)]);
    folder.wait_for(2, RUN);
    server.publish("p", "m", &[message(2)]);
    folder.wait_for(3, RUN);
    pause(2 * SECOND);
    let told = told_by(&mirror);
    assert_eq!(told.matches("the connection to Pub/Sub stood still").count(), 1, "{told}");
    assert!(!told.contains("nothing is known of what comes"), "it has answered: {told}");
    mirror.interrupt();
    assert_eq!(mirror.ended(RUN).expect("it ends").code, Some(0));
    assert_eq!(folder.messages(), 3, "{told}");
    assert!(server.pull("p", "m", 10).is_empty(), "some were not acknowledged");
}
