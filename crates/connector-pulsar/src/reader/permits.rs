//! How many messages the broker may send, so that they fit in memory.
//!
//! Permits count messages, and memory is bytes; so permits times the largest of the recent messages stay within the
//! budget. The broker reads whole batches, and may send one more than it has permits for.

/// Larger grants bring nothing: the broker reads at most 100 entries at once.
const PERMITS_MAX: usize = 1000;

/// What brokers take at once.
const GRANT_MAX: i64 = i32::MAX as i64;

/// How many messages "recent" means, at least; at most twice as many.
const RECENT: u64 = 1024;

/// The permits that a consumer has, and may get.
#[derive(Debug)]
pub struct Permits {
    budget_bytes: usize,
    /// Permits at the broker; below zero after a batch that was larger.
    granted: i64,
    largest: usize,
    largest_before: usize,
    counted: u64,
}

impl Permits {
    pub fn new(budget_bytes: usize) -> Self {
        Permits { budget_bytes: budget_bytes.max(1), granted: 0, largest: 0, largest_before: 0, counted: 0 }
    }

    /// The consumer is a new one, which has no permits.
    pub fn reset(&mut self) {
        self.granted = 0;
    }

    /// The broker has sent messages.
    pub fn take(&mut self, messages: u32, largest_bytes: usize) {
        self.granted = self.granted.saturating_sub(i64::from(messages));
        self.largest = self.largest.max(largest_bytes);
        self.counted += u64::from(messages);
        if self.counted >= RECENT {
            self.counted = 0;
            self.largest_before = std::mem::take(&mut self.largest);
        }
    }

    /// The permits to give now that so many bytes wait to be taken.
    pub fn grant(&mut self, waiting_bytes: usize) -> u32 {
        let room = self.budget_bytes.saturating_sub(waiting_bytes);
        let largest = self.largest.max(self.largest_before);
        let wanted = match (room, largest) {
            (0, _) => 0,
            // Nothing is known of the sizes yet.
            (_, 0) => 1,
            (room, largest) => (room / largest).clamp(1, PERMITS_MAX),
        };
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        if self.granted > wanted / 2 {
            return 0;
        }
        // An entry may be said to be any number of messages, which brokers take off, and brokers count in 32 bits.
        let grant = (wanted - self.granted).clamp(0, GRANT_MAX);
        self.granted += grant;
        u32::try_from(grant).unwrap_or(0)
    }

    /// Whether bytes should be taken from the connection at all.
    pub fn has_room(&self, waiting_bytes: usize) -> bool {
        waiting_bytes < self.budget_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A broker that sends what it may, a taker that takes at chance: memory stays within the budget and one
        /// batch, and nothing comes to a halt.
        #[test]
        fn memory_is_bounded_and_nothing_halts(
            sizes in proptest::collection::vec((1u32..20, 1usize..2000), 1..300),
            takes in proptest::collection::vec(0usize..4, 1..300),
        ) {
            let budget = 4000;
            let mut permits = Permits::new(budget);
            let (mut at_broker, mut waiting, mut next) = (0i64, std::collections::VecDeque::new(), 0);
            let mut takes = takes.iter().cycle();
            let mut largest_seen = 0;
            while next < sizes.len() || !waiting.is_empty() {
                let bytes: usize = waiting.iter().sum();
                at_broker += i64::from(permits.grant(bytes));
                let before = next;
                while at_broker > 0 && next < sizes.len() {
                    let (messages, size) = sizes[next];
                    at_broker -= i64::from(messages);
                    permits.take(messages, size);
                    largest_seen = largest_seen.max(size);
                    waiting.extend((0..messages).map(|_| size));
                    next += 1;
                }
                // Sizes that grow surprise by what was already granted.
                let most = budget + (20 + budget) * 2000;
                prop_assert!(waiting.iter().sum::<usize>() <= most);
                prop_assert!(next > before || next == sizes.len() || !waiting.is_empty(), "nothing comes");
                let take = if next == before { waiting.len().max(1) } else { *takes.next().unwrap() };
                for _ in 0..take {
                    waiting.pop_front();
                }
            }
        }
    }

    #[test]
    fn entries_that_are_said_to_be_any_number_of_messages_bring_nothing_to_a_halt() {
        let mut permits = Permits::new(10_000);
        let mut at_broker = i64::from(permits.grant(0));
        for _ in 0..3 {
            permits.take(i32::MAX as u32, 1000);
            at_broker -= i64::from(i32::MAX);
        }
        while let grant @ 1.. = permits.grant(0) {
            assert!(i32::try_from(grant).is_ok(), "{grant} permits, which no broker takes");
            at_broker += i64::from(grant);
        }
        assert_eq!(at_broker, 10);
    }

    #[test]
    fn permits_follow_the_largest_recent_message() {
        let mut permits = Permits::new(10_000);
        assert_eq!(permits.grant(0), 1, "of the first message nothing is known");
        permits.take(1, 1000);
        assert_eq!(permits.grant(0), 10);
        permits.take(10, 10);
        assert_eq!(permits.grant(9_500), 1);
        assert_eq!(permits.grant(10_000), 0);
        permits.take(1, 10);
        permits.take(2100, 10);
        permits.take(2100, 10);
        permits.reset();
        assert_eq!(permits.grant(0), 1000, "the large one is forgotten");
    }
}
