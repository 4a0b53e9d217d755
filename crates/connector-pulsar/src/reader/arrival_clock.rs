//! The clock that messages of a partition arrive by, and up to when by that clock it is known that nothing more is there.
//!
//! A message arrives when its broker stamped it. Where brokers do not stamp, it arrives when its producer says: that is
//! another clock, which may differ from all others by hours. Nobody can ask it, so it is taken to be right unless it has
//! shown that it is not: a time that the broker had not come to when the entry was received is ahead, and one that the
//! broker was beyond when the entry was not there yet is behind. Then what has gone by since the entry was received is
//! all that is known. A partition in which nothing comes shows nothing of that; its producers are taken to be as much
//! behind as another one of the topic is, which others wait for anyway.

use super::broker_clock::BrokerClock;
use super::options::{Drained, ProducerClocks};
use crate::contract::MARGIN;
use crate::position::EntryId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An entry that is received so much later than its producer says was in storage for long, or its producer's clock is
/// behind. It is asked which.
const UNCLEAR: Duration = Duration::from_millis(500);

/// The clock of a partition's messages.
#[derive(Debug, Default)]
pub struct ArrivalClock {
    broker: BrokerClock,
    /// Entries up to here may have been stamped by a broker that had the topic before.
    stamped_before: Option<EntryId>,
    /// The last entry.
    last: Option<LastEntry>,
    /// What comes next was not there at this moment.
    absent_at: Option<Duration>,
    /// What comes after an entry was not there at this moment.
    end: Option<(Duration, Option<EntryId>)>,
    is_doubted_until: Option<Duration>,
    producers: ProducerClocks,
    /// By how much the producers of this partition are behind, for other readers.
    behind_ms: Arc<AtomicU64>,
    /// The greatest time that a producer has given, which is when the last message arrived.
    greatest_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct LastEntry {
    id: EntryId,
    /// By its producer's clock, where no broker has stamped it.
    published_ms: Option<u64>,
    received: Duration,
    absent_at: Option<Duration>,
}

impl ArrivalClock {
    /// For a partition of which nothing is known.
    pub fn new(producers: ProducerClocks) -> ArrivalClock {
        ArrivalClock { behind_ms: producers.of_partition(), producers, ..ArrivalClock::default() }
    }

    /// Another connection begins, which may be with another broker, at a partition that ends here.
    pub fn begin(&mut self, end: Option<EntryId>) {
        self.broker = BrokerClock::default();
        self.stamped_before = end;
    }

    /// Until a moment producers have time to show that their clocks are not right; the first one that is said counts.
    pub fn doubt_until(&mut self, moment: Duration) {
        self.is_doubted_until.get_or_insert(moment);
    }

    /// An entry was received.
    pub fn receive(&mut self, id: EntryId, stamp_ms: Option<u64>, published_ms: u64, now: Duration) {
        if let Some(stamp) = stamp_ms.filter(|_| Some(id) > self.stamped_before) {
            self.broker.observe(stamp, now);
        }
        if self.last.is_some_and(|last| id <= last.id) {
            return;
        }
        if let Some((moment, _)) = self.end.take_if(|(_, end)| Some(id) > *end) {
            self.absent_at = Some(moment);
        }
        let published_ms = stamp_ms.is_none().then_some(published_ms);
        let last = LastEntry { id, published_ms, received: now, absent_at: self.absent_at };
        self.last = Some(last);
        if let Some(published_ms) = published_ms {
            self.greatest_ms = self.greatest_ms.max(published_ms);
            let is_behind = self.is_behind(published_ms, &last);
            let time = if is_behind { self.broker.at(now) } else { None };
            self.behind_ms.store(time.unwrap_or(0).saturating_sub(self.greatest_ms), Ordering::Relaxed);
        }
    }

    /// The partition ended here at a moment, or later.
    pub fn ended_at(&mut self, end: Option<EntryId>, moment: Duration) {
        if end <= self.last.map(|last| last.id) {
            self.absent_at = Some(moment);
        } else if self.end.is_none() {
            self.end = Some((moment, end));
        }
    }

    /// Whether it helps to know where the partition ends: an entry is unclear, and it was not asked for long.
    pub fn wants_end(&mut self, now: Duration) -> bool {
        let Some(LastEntry { published_ms: Some(published), received, .. }) = self.last else { return false };
        let Some(at_receipt) = self.broker.at(received).filter(|_| self.end.is_none()) else { return false };
        let late = Duration::from_millis(at_receipt.saturating_sub(published));
        late > UNCLEAR && self.absent_at.is_none_or(|absent_at| now.saturating_sub(absent_at) > late / 2)
    }

    /// The broker's clock showed this time at, or before, a moment of this connection.
    pub fn observe_broker_time(&mut self, time_ms: u64, moment: Duration) {
        self.broker.observe(time_ms, moment);
    }

    /// Whether the broker's time can be told now.
    pub fn knows_broker_time(&mut self, now: Duration) -> bool {
        self.broker.at(now).is_some()
    }

    /// Whether an entry was received that lies here or later.
    pub fn has_received(&self, id: EntryId) -> bool {
        self.last.is_some_and(|last| id <= last.id)
    }

    /// Up to when nothing more was there than what lies up to `end`, where the partition ended at a moment. That entry
    /// has to be received if no broker stamps: it says from when on there is silence, and by which clock.
    pub fn drained(&mut self, end: Option<EntryId>, moment: Duration) -> Option<Drained> {
        let Some(last) = self.last else {
            return if end.is_none() { self.broker.at(moment).map(Drained::BrokerTime) } else { None };
        };
        let LastEntry { id, published_ms: Some(published_ms), received, .. } = last else {
            return self.broker.at(moment).map(Drained::BrokerTime);
        };
        if Some(id) < end {
            return None;
        }
        let since_receipt = moment.saturating_sub(received);
        let is_new = self.is_doubted_until.is_some_and(|until| moment < until);
        let by_broker = match (self.broker.at(received), self.broker.at(moment)) {
            (Some(at_receipt), Some(time))
                if !is_new && published_ms <= at_receipt && !self.is_behind(published_ms, &last) =>
            {
                let shown = time.saturating_sub(self.producers.behind_ms());
                Some(Duration::from_millis(shown.saturating_sub(published_ms)).max(since_receipt))
            }
            _ => None,
        };
        Some(Drained::Silence { published_ms, silence: by_broker.unwrap_or(since_receipt) })
    }

    /// Whether an entry was not there when the broker's clock was beyond the time that its producer gave it.
    fn is_behind(&mut self, published_ms: u64, entry: &LastEntry) -> bool {
        let margin_ms = u64::try_from(MARGIN.0 / 1000).unwrap_or(0);
        let absent = entry.absent_at.and_then(|at| self.broker.at(at));
        absent.is_some_and(|time| time > published_ms.saturating_add(margin_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_000_000_000;
    const HOUR_MS: u64 = 3_600_000;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn entry(entry: u64) -> EntryId {
        EntryId { ledger: 1, entry }
    }

    /// A connection whose broker's clock shows `START_MS` where ours shows zero; one entry is there.
    fn clock() -> ArrivalClock {
        let mut clock = ArrivalClock::default();
        clock.begin(Some(entry(0)));
        clock.observe_broker_time(START_MS, at(0));
        clock.ended_at(Some(entry(0)), at(0));
        clock
    }

    fn silence(clock: &mut ArrivalClock, moment: Duration) -> u64 {
        match clock.drained(None, moment) {
            Some(Drained::Silence { silence, .. }) => silence.as_secs(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stamp_of_the_broker_before_says_nothing_of_the_one_that_has_the_topic_now() {
        let mut clock = clock();
        clock.receive(entry(0), Some(START_MS + 5000), 0, at(1));
        assert_eq!(clock.drained(Some(entry(0)), at(10)), Some(Drained::BrokerTime(START_MS + 10_000)));
        clock.receive(entry(1), Some(START_MS + 11_500), 0, at(11));
        assert_eq!(clock.drained(Some(entry(1)), at(12)), Some(Drained::BrokerTime(START_MS + 12_500)));
    }

    #[test]
    fn silence_begins_when_the_last_message_was_published_where_clocks_are_right() {
        // It was there before, since an hour.
        let mut clock = clock();
        clock.receive(entry(0), None, START_MS - HOUR_MS, at(1));
        assert_eq!(silence(&mut clock, at(10)), 3610);
        // One that came while others were read was received much later.
        clock.receive(entry(1), None, START_MS + 5000, at(200));
        assert_eq!(silence(&mut clock, at(210)), 205);
    }

    #[test]
    fn silence_begins_with_the_receipt_where_the_producer_s_clock_is_ahead_or_behind() {
        let mut ahead = clock();
        ahead.receive(entry(0), None, START_MS + HOUR_MS, at(1));
        assert_eq!(silence(&mut ahead, at(10)), 9);
        let mut behind = clock();
        behind.receive(entry(0), None, START_MS - HOUR_MS, at(1));
        behind.receive(entry(1), None, START_MS + 2000 - HOUR_MS, at(2));
        assert_eq!(silence(&mut behind, at(10)), 8);
        // The messages of others begin it anew.
        behind.receive(entry(2), None, START_MS + 11_000, at(11));
        assert_eq!(silence(&mut behind, at(15)), 4);
    }

    #[test]
    fn a_clock_that_is_behind_is_noticed_however_long_nobody_asked() {
        let mut clock = clock();
        clock.receive(entry(0), None, START_MS - HOUR_MS, at(0));
        let mut asked = 0;
        for second in 1..20_000 {
            clock.receive(entry(second), None, START_MS + second * 1000 - HOUR_MS, at(second));
            // What the broker shows of its time is forgotten after some minutes, and told again.
            clock.observe_broker_time(START_MS + second * 1000, at(second));
            if clock.wants_end(at(second)) {
                asked += 1;
                clock.ended_at(Some(entry(second)), at(second));
            }
        }
        assert_eq!(silence(&mut clock, at(20_005)), 6);
        assert!((2..100).contains(&asked), "{asked} questions");
    }

    #[test]
    fn nothing_is_taken_for_known_while_it_is_doubted() {
        let mut clock = clock();
        clock.doubt_until(at(2));
        clock.receive(entry(0), None, START_MS - HOUR_MS, at(0));
        assert_eq!(silence(&mut clock, at(1)), 1);
        assert_eq!(silence(&mut clock, at(2)), 3602);
    }

    #[test]
    fn a_partition_in_which_nothing_comes_is_as_much_behind_as_another_one() {
        let producers = ProducerClocks::default();
        let [mut active, mut silent] = [(); 2].map(|()| {
            let behind_ms = producers.of_partition();
            ArrivalClock { producers: producers.clone(), behind_ms, ..clock() }
        });
        silent.receive(entry(0), None, START_MS - HOUR_MS - 60_000, at(0));
        assert_eq!(silence(&mut silent, at(10)), 3670);
        active.receive(entry(1), None, START_MS + 9000 - HOUR_MS, at(10));
        assert_eq!(silence(&mut silent, at(10)), 69);
        // A message that a producer has sent again says nothing of those after it.
        active.receive(entry(2), None, START_MS + 11_000, at(11));
        assert_eq!(silence(&mut silent, at(11)), 3671);
        // However much others are behind, nothing has come for so long.
        silent.receive(entry(1), None, START_MS + 11_000, at(11));
        assert_eq!(silence(&mut silent, at(20)), 9);
    }

    #[test]
    fn nothing_is_known_without_stamps_before_the_last_entry_has_come() {
        let mut clock = clock();
        assert_eq!(clock.drained(Some(entry(0)), at(1)), None);
        clock.receive(entry(0), None, START_MS, at(1));
        assert_eq!(clock.drained(Some(entry(1)), at(2)), None);
        assert_eq!(silence(&mut clock, at(2)), 2);
    }
}
