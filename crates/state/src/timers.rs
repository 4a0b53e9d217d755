//! Timers: keys with the time at which something is due.

use dataflow::EventTime;
use std::collections::BTreeMap;

/// Keys by the time at which they are due.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    due: BTreeMap<i64, Vec<u32>>,
    entries: usize,
}

/// What a time costs beside its keys: its vector, and its share of a tree node.
const BYTES_PER_TIME: usize = 48;

impl Timers {
    /// Sets a timer. A key may have several.
    pub fn set(&mut self, at: EventTime, key: u32) {
        self.due.entry(at.0).or_default().push(key);
        self.entries += 1;
    }

    /// Takes the keys of the earliest time that is at or before `now`, with that time.
    pub fn next_due(&mut self, now: EventTime) -> Option<(EventTime, Vec<u32>)> {
        let entry = self.due.first_entry()?;
        if *entry.key() > now.0 {
            return None;
        }
        let (at, keys) = entry.remove_entry();
        self.entries -= keys.len();
        Some((EventTime(at), keys))
    }

    /// The bytes that all timers take.
    pub fn size(&self) -> usize {
        self.due.len() * BYTES_PER_TIME + self.entries * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_order_of_time_and_not_before() {
        let mut timers = Timers::default();
        timers.set(EventTime(20), 1);
        timers.set(EventTime(-10), 2);
        timers.set(EventTime(20), 3);
        assert_eq!(timers.next_due(EventTime(19)), Some((EventTime(-10), vec![2])));
        assert_eq!(timers.next_due(EventTime(19)), None);
        assert_eq!(timers.next_due(EventTime(20)), Some((EventTime(20), vec![1, 3])));
        assert_eq!(timers.size(), 0);
    }
}
