//! Topics of Pulsar as the reader of its own Java client gives them.

use std::path::{Path, PathBuf};

/// Writes the messages of a topic to a file, partition by partition, up to the last one that each has now: a line of JSON
/// for each.
///
/// ```text
/// partition, ledger, entry, batch_index (-1 outside of batches)
/// index, broker_publish_time     what the broker counted and stamped, or null
/// publish_time, event_time       of the producer; without an event time 0
/// producer, sequence, key, key_is_base64, properties
/// payload, payload_is_base64     bytes that are no UTF-8 are base64
/// ```
///
/// All times are in milliseconds since 1970.
pub fn dump_topic(service_url: &str, topic: &str, file: &Path) {
    dump_topics(service_url, &[(topic, file)]);
}

/// The same for several topics, each with a file of its own.
pub fn dump_topics(service_url: &str, topics: &[(&str, &Path)]) {
    let home = std::env::var("HOME").expect("HOME says where caches are kept");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/TopicDump.java");
    let program = connector_pulsar::standalone::java(&Path::new(&home).join(".cache/riverrun"), &source);
    let mut program = program.expect("the broker's jars are there");
    program.arg(service_url);
    topics.iter().for_each(|(topic, file)| {
        program.arg(topic).arg(file);
    });
    let output = program.output().expect("java starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{topics:?}: {}{}", text(&output.stdout), text(&output.stderr));
}
