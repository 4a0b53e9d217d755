//! Messages that cannot come, though the server answers; what a killed mirror held; a topic that was deleted.

use crate::folder::{Folder, RUN, field};
use crate::proxy::{Cut, Proxy};
use crate::server::{Outgoing, Server, told, wait_until_told};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::File;
use tests::Program;
use tests::machine::{SECOND, now, pause};

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER) LIVE m;
";
const PLACES: &str = r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#;
const AWAY: &str = "nothing is known of what comes";

fn message(id: usize) -> Outgoing {
    (json!({ "id": id, "at": "2026-01-01 00:00:00" }).to_string(), String::new())
}

fn messages(count: usize) -> Vec<Outgoing> {
    (0..count).map(message).collect()
}

fn ids(folder: &Folder) -> BTreeSet<i64> {
    folder.log("m").iter().flatten().map(|message| field(message, "id").as_i64().unwrap()).collect()
}

/// A mirror that has copied a first message, and goes on.
fn copying_mirror(server: &Server) -> (Folder, Program) {
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &[message(0)]);
    let mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    folder.wait_for(1, RUN);
    (folder, mirror)
}

/// Keeps everyone from appending to the partition.
fn locked(folder: &Folder) -> File {
    let lock = File::options().read(true).write(true).open(folder.partition().join("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn where_messages_cannot_come_nothing_is_promised_and_no_mirror_is_up_to_date() {
    let Some(server) = Server::start() else { return };
    for (name, cut) in [("m", Cut::Messages), ("n", Cut::Grpc)] {
        server.make("p", name, json!({}));
        let folder = Folder::new(SQL, &format!(r#"["local:m", "pubsub:projects/p/subscriptions/{name}"]"#));
        let proxy = Proxy::start(&server.address);
        let mut command = server.command(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "30s"]);
        command.env("PUBSUB_EMULATOR_HOST", &proxy.address);
        let mut mirror = Program::spawn(command);
        server.publish("p", name, &[message(0)]);
        folder.wait_for(1, RUN);
        let begun = now();
        proxy.cut(cut);
        let before = now();
        server.publish("p", name, &(1..11).map(message).collect::<Vec<_>>());
        wait_until_told(&mirror, AWAY);
        // Longer than it takes to be idle.
        assert!(mirror.ended(begun + 45 * SECOND - now()).is_none(), "{cut:?}: it has ended: {}", mirror.told());
        assert_eq!(ids(&folder).len(), 1, "{cut:?}");
        assert!(folder.drained_to(0) < before, "{cut:?}: it promises what it cannot know");
        proxy.cut(Cut::Nothing);
        let ended = mirror.ended(RUN).expect("it ends when it is up to date");
        assert_eq!(ended.code, Some(0), "{cut:?}: {}", ended.told);
        assert_eq!(ids(&folder).len(), 11, "{cut:?}");
        let told = ended.told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("Pub/Sub answers again"), "{cut:?}: {told}");
        let is_refused = told.contains("the stream of messages is refused or breaks again and again");
        assert!(is_refused || cut == Cut::Grpc, "{cut:?}: {told}");
    }
}

/// Killed between what it has taken and what it has acknowledged.
#[test]
fn a_mirror_after_a_killed_one_is_idle_when_all_that_one_held_has_come() {
    let Some(server) = Server::start() else { return };
    let (folder, mut mirror) = copying_mirror(&server);
    // While it is held up it takes messages, and appends none.
    let lock = locked(&folder);
    server.publish("p", "m", &messages(50));
    pause(3 * SECOND);
    mirror.signal("KILL");
    mirror.ended(RUN).expect("a killed mirror ends");
    drop(lock);
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "3s"]);
    assert_eq!(ids(&folder).len(), 50, "it ended before all had come");
}

#[test]
fn what_waits_is_copied_when_the_topic_was_deleted() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &messages(100));
    server.done("DELETE", "projects/p/topics/m", &json!({}));
    let ran = server.command(folder.path(), &["pubsub", "mirror", "m"]).output().unwrap();
    let told = told(&ran).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert_eq!(ids(&folder).len(), 100, "{told}");
    assert_eq!(told.matches("its topic was deleted in Pub/Sub: what waits is copied").count(), 1, "{told}");
    assert!(told.contains("was deleted in") && told.contains("and all that waited was copied"), "{told}");
}

#[test]
fn a_subscription_that_pushes_is_refused() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({ "pushConfig": { "pushEndpoint": "http://127.0.0.1:1/push" } }));
    let told = server.refused(Folder::new(SQL, PLACES).path(), &["pubsub", "mirror", "m"]);
    assert!(told.contains("pushes its messages to http://127.0.0.1:1/push"), "{told}");
}

/// The lock of a topic into which nothing comes, held by a process that stands still.
#[test]
fn a_mirror_that_waits_for_a_lock_says_so_and_ends_when_asked() {
    let Some(server) = Server::start() else { return };
    let (folder, mut mirror) = copying_mirror(&server);
    // From then on it promises every second.
    pause(30 * SECOND);
    let lock = locked(&folder);
    wait_until_told(&mirror, "messages are held, since topic m does not take them");
    mirror.interrupt();
    let ended = mirror.ended(40 * SECOND).expect("it ends while another one has the lock");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    drop(lock);
}
