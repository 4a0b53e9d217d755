//! Keys land where the Java client puts them.

use crate::place::{PATIENCE, admin, broker, java, run, settings};
use connector_pulsar::{Hashing, Key, TopicName, partition_count};

#[test]
fn keys_land_where_the_java_client_puts_them() {
    let broker = broker();
    let name = |partitions: u32| format!("persistent://public/default/keys-{partitions}");
    for partitions in [1, 3, 7] {
        let path = format!("persistent/public/default/keys-{partitions}/partitions");
        admin(&broker, "PUT", &path, &partitions.to_string());
        let topic = TopicName::parse(&name(partitions)).expect("a good name");
        let count = run(partition_count(&settings(&broker), &topic, PATIENCE)).expect("the broker answers");
        assert_eq!(count, Some(partitions));
        let absent = TopicName::parse(&format!("{topic}-absent")).expect("a good name");
        assert_eq!(run(partition_count(&settings(&broker), &absent, PATIENCE)), Ok(None));
    }
    // Each line is what the key is, the key in hexadecimal digits, and the partition.
    let printed = java("JavaKeys.java", &[&broker.service_url(), &name(1), &name(3), &name(7)]);
    let mut keys = 0;
    for line in printed.lines().filter_map(|line| line.strip_prefix("key ")) {
        let parts: Vec<&str> = line.split(' ').collect();
        let [topic, hashing, kind, hexadecimal, partition] = parts[..] else { panic!("{line}") };
        let digits: Vec<u8> = hexadecimal.bytes().skip(1).collect();
        let bytes = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits"));
        let bytes: Vec<u8> = bytes.collect();
        let key = match kind {
            "text" => Key::Text(String::from_utf8(bytes).expect("a key of text")),
            _ => Key::Bytes(bytes),
        };
        let hashing = if hashing == "java" { Hashing::JavaString } else { Hashing::Murmur3 };
        let partitions = topic.rsplit('-').next().and_then(|count| count.parse().ok()).expect("a number");
        let expected: u32 = partition.parse().expect("a number");
        assert_eq!(key.partition(hashing, partitions), expected, "{line}");
        keys += 1;
    }
    assert_eq!(keys, 2 * 3 * 12, "{printed}");
}
