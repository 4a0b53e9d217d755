//! A job that waits for what the mirror promises, while its subscription is silent.

use crate::folder::{Folder, RUN, field};
use crate::proxy::{Cut, Proxy};
use crate::server::{Server, wait_until_told};
use serde_json::json;
use tests::Program;
use tests::machine::{SECOND, now, pause, until};

/// A row of `a` comes out when `m` is known to have nothing earlier.
const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '2' SECOND) LIVE m;
CREATE STREAM a (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '2' SECOND) LIVE a;
INSERT INTO TOPIC n SELECT a.id, a.at, m.at AS m_at FROM a ASOF LEFT JOIN m ON m.id = a.id AND m.at <= a.at;
";
/// What docs/from-pubsub.md says of a subscription over which nothing comes, and of a mirror that begins.
const SILENT: i64 = 27 * SECOND;
const BEGIN: i64 = 22 * SECOND;
/// The delay, QUIET, the pause between two looks at the subscription and that between two promises.
const STEPS: i64 = 6 * SECOND;
/// What a machine takes longer that does much else.
const SLOW: i64 = 30 * SECOND;

fn row(id: i64) -> String {
    json!({ "id": id, "at": dataflow::ProcessingTime(now()).to_string() }).to_string()
}

/// Puts a row on `a` directly; gives a time before that.
fn publish(server: &Server, folder: &Folder, id: i64) -> i64 {
    let before = now();
    std::fs::write(folder.path().join("a.jsonl"), row(id) + "\n").unwrap();
    server.printed(folder.path(), &["publish", "a", "a.jsonl"]);
    before
}

fn came_out(folder: &Folder) -> Vec<i64> {
    folder.log("n").iter().flatten().map(|message| field(message, "id").as_i64().unwrap()).collect()
}

/// Waits until a row is out, which is not to be before one moment nor after another.
fn wait_for(folder: &Folder, rows: &[i64], from: i64, to: i64, job: &Program) {
    while came_out(folder) != rows {
        assert!(now() < to, "{:?} of {rows:?} came out: {}", came_out(folder), job.told());
        pause(SECOND / 10);
    }
    assert!(now() >= from, "{rows:?} came out {} s too early", (from - now()) as f64 / SECOND as f64);
}

#[test]
fn a_row_comes_out_when_the_mirror_has_promised_and_not_while_it_is_dead() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({ "enableMessageOrdering": true }));
    let folder = Folder::new(SQL, r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#);
    // The job would copy the subscription itself, by way of a proxy, if no other process did.
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    wait_until_told(&mirror, "copying subscription projects/p/subscriptions/m into topic m");
    let proxy = Proxy::start(&server.address);
    let mut command = server.command(folder.path(), &["run"]);
    command.env("PUBSUB_EMULATOR_HOST", &proxy.address);
    let mut job = Program::spawn(command);
    wait_until_told(&job, "is not copied into topic m by this process");
    let begun = now();
    server.publish("p", "m", &[(row(1), "k".to_owned())]);
    folder.wait_for(1, RUN);
    // The message has told up to when all has come; after that nothing but answers of the server tells.
    until(begun + BEGIN);
    let first = publish(&server, &folder, 1);
    wait_for(&folder, &[1], first + SILENT, first + SILENT + STEPS + SLOW, &job);

    proxy.cut(Cut::Grpc);
    mirror.signal("KILL");
    mirror.ended(RUN).expect("a killed mirror ends");
    let second = publish(&server, &folder, 2);
    until(second + SILENT + STEPS + 10 * SECOND);
    assert_eq!(came_out(&folder), [1], "nobody has promised anything: {}", job.told());
    let back = now();
    proxy.cut(Cut::Nothing);
    wait_for(&folder, &[1, 2], back + BEGIN, back + BEGIN + STEPS + SLOW, &job);
    job.interrupt();
    assert_eq!(job.ended(RUN).expect("it ends").code, Some(0), "{}", job.told());
}
