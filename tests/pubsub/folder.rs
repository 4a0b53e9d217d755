//! A project whose stream has a subscription, and the log that it is copied into.

use connector_local::Topics;
use dataflow::{Message, Topic, read_what_is_there};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tests::machine::{Machine, SECOND, now, pause};

/// How long something may take on a machine that does much else.
pub const RUN: i64 = 120 * SECOND;

/// A project folder with a stream `m`.
pub struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    /// A project with this SQL, and these places of the topic m.
    pub fn new(sql: &str, places: &str) -> Folder {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("pipelines")).unwrap();
        std::fs::write(root.path().join("pipelines/all.sql"), sql).unwrap();
        let folder = Folder { root };
        folder.name(&format!("m = {places}"));
        folder
    }

    /// Writes the settings anew, with these names.
    pub fn name(&self, names: &str) {
        let settings = format!(
            "[project]\nname = \"p\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n\n[env.dev]\n\
             history = {{ warehouse = \"./warehouse\" }}\nlive = {{ topics = \"./topics\" }}\n\n[env.dev.names]\n{names}\n"
        );
        std::fs::write(self.path().join("riverrun.toml"), settings).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The folder of the only partition of m.
    pub fn partition(&self) -> PathBuf {
        self.path().join("topics/m/0")
    }

    /// The topics.
    pub fn topics(&self) -> Topics {
        Topics::open(self.path().join("topics"), Arc::new(Machine)).unwrap()
    }

    /// How far a partition of m is drained, as its mirrors promise.
    pub fn drained_to(&self, partition: u32) -> i64 {
        let Some(topic) = self.topics().topic("m").unwrap() else { return i64::MIN };
        topic.of_copy().open(partition, None).unwrap().end().unwrap().drained_to.0
    }

    /// All messages of a topic, partition by partition.
    pub fn log(&self, topic: &str) -> Vec<Vec<Message>> {
        let Some(topic) = self.topics().topic(topic).unwrap() else { return Vec::new() };
        let read = |partition| {
            let mut log = topic.open(partition, None).unwrap();
            let mut messages = Vec::new();
            loop {
                let some = read_what_is_there(log.as_mut(), 10_000, 16 << 20).unwrap();
                if some.is_empty() {
                    return messages;
                }
                messages.extend(some);
            }
        };
        (0..topic.partitions()).map(read).collect()
    }

    /// How many messages m has.
    pub fn messages(&self) -> usize {
        self.log("m").iter().map(Vec::len).sum()
    }

    /// Waits until m has so many messages.
    pub fn wait_for(&self, least: usize, within: i64) {
        let begun = now();
        while self.messages() < least {
            assert!(now() < begun + within, "{} of {least} messages", self.messages());
            pause(SECOND / 10);
        }
    }
}

/// A field of the object that a message is.
pub fn field(message: &Message, name: &str) -> Value {
    serde_json::from_slice::<Value>(&message.payload).unwrap()[name].take()
}
