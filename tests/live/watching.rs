//! Topics as someone sees them who reads along.

use connector_local::{Topics, Watch};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use tests::machine::{SECOND, now, pause};

const LOOK: i64 = SECOND / 50;
const MESSAGES_MAX: usize = 4096;

/// A message, and when it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: i64,
    pub values: Value,
}

/// Topics with one partition, which need not be there yet, and what they have shown.
pub struct Watching<'a> {
    topics: &'a Topics,
    names: Vec<String>,
    open: BTreeMap<String, Watch>,
    seen: BTreeMap<String, Vec<Seen>>,
}

impl<'a> Watching<'a> {
    /// Watches topics from their first message.
    pub fn new(topics: &'a Topics, names: &[String]) -> Watching<'a> {
        let seen = names.iter().map(|name| (name.clone(), Vec::new())).collect();
        Watching { topics, names: names.to_vec(), open: BTreeMap::new(), seen }
    }

    /// Takes some of what has come since the last look; false if nothing has.
    fn look(&mut self) -> bool {
        let mut has_come = false;
        for name in &self.names {
            if !self.open.contains_key(name) {
                let Some(topic) = self.topics.topic(name).expect("the topics can be read") else { continue };
                self.open.insert(name.clone(), topic.watch(0, None).expect("the topic opens"));
            }
            let watch = self.open.get_mut(name).expect("opened above");
            let some = watch.next(MESSAGES_MAX).expect("the topic can be read");
            has_come |= !some.is_empty();
            let at = now();
            let values = some.into_iter().map(|(message, ..)| serde_json::from_slice(&message.payload).expect("JSON"));
            self.seen.get_mut(name).expect("one of them").extend(values.map(|values| Seen { at, values }));
        }
        has_come
    }

    /// Watches on a thread of its own until it is told to stop.
    pub fn spawn<'scope, 'env>(
        mut self,
        scope: &'scope Scope<'scope, 'env>,
        stop: &'scope AtomicBool,
    ) -> ScopedJoinHandle<'scope, BTreeMap<String, Vec<Seen>>>
    where
        'a: 'scope,
    {
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                self.look();
                pause(LOOK);
            }
            while self.look() {}
            self.seen
        })
    }
}

/// Stops who watches, also when the test fails.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
