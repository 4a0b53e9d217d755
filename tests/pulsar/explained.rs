//! What `explain watermark` says of a job that reads topics on Pulsar, and what its outputs have registered.

use crate::project::Folder;
use serde_json::Value;
use tests::Broker;
use tests::machine::{SECOND, now, pause};

#[test]
fn every_partition_of_a_topic_on_pulsar_is_shown_and_the_one_that_holds_the_watermark_back() {
    let Some(broker) = Broker::start() else { return };
    let folder = Folder::new(&broker);
    broker.admin_with("PUT", "persistent/public/default/plays/partitions", "2");
    folder.publish("pulsar", 0..99);
    let mut running = folder.start(&["run"], "pulsar");
    running.ready();
    let begun = now();
    let plays = loop {
        // Nothing is said before the job listens.
        let output = folder.command(&["explain", "watermark", "--json"], "pulsar");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let plays = &told["streams"][0];
        if (0..2).all(|partition| plays["partitions"][partition]["state"] == "silent") {
            break plays.clone();
        }
        assert!(now() < begun + 60 * SECOND, "{told}");
        pause(SECOND / 10);
    };
    // Row 97 is the last one on partition 1, and row 98 on partition 0.
    let of = |key: &str| [0, 1].map(|partition: usize| plays["partitions"][partition][key].clone());
    assert_eq!(of("holds_back"), [Value::Bool(false), Value::Bool(true)], "{plays}");
    assert_eq!(of("backlog_entries"), [Value::from(0), Value::from(0)], "{plays}");
    assert!(of("clock")[1].as_str().unwrap().contains("00:01:37"), "{plays}");
    running.interrupt();
    running.ended(crate::project::RUN).expect("a run that is interrupted ends");
    // The decision's topic has a schema of JSON.
    assert_eq!(broker.status("GET", "schemas/public/default/actions/schema"), 200);
}
