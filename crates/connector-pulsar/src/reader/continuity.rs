//! Notices entries that are missing.

use crate::anchor::{ADVICE_UNREAD, AnchorPlace};
use crate::error::{Error, Result};
use crate::position::EntryId;

/// What the first entry of a consumer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Whatever is the oldest.
    Oldest,
    /// The first message that the partition ever had.
    Beginning,
    /// The same, where an anchor that kept what there is has moved from one place to another although nothing was read.
    FirstEver(AnchorPlace, AnchorPlace),
    /// This very entry: the broker takes away from the front alone, so if it is there, all after it are.
    Exactly(EntryId),
    /// This entry or a later one.
    From(EntryId),
    /// An entry between these two, of which the second has to come.
    Between(EntryId, EntryId),
}

/// Follows the entries of one consumer.
#[derive(Debug)]
pub struct Continuity {
    expectation: Expectation,
    /// Transactions and replicated subscriptions write entries that are never given out.
    allows_gaps: bool,
    previous: Option<EntryId>,
    /// The index of the last message of the entry before, where the broker counts.
    index: Option<u64>,
    /// A ledger has begun, and no index tells whether others were before it.
    is_uncounted: bool,
    /// Somebody says of entries that they are other numbers of messages than the broker has counted.
    is_miscounted: bool,
}

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Take,
    /// It was there before.
    Repeated,
}

impl Continuity {
    /// Follows the entries of another consumer; what was seen of those who count stays known.
    pub fn begin(&mut self, expectation: Expectation) {
        *self = Continuity { is_miscounted: self.is_miscounted, ..Continuity::new(expectation, self.allows_gaps) };
    }

    pub fn new(expectation: Expectation, allows_gaps: bool) -> Self {
        Continuity { expectation, allows_gaps, previous: None, index: None, is_uncounted: false, is_miscounted: false }
    }

    /// The last entry.
    pub fn previous(&self) -> Option<EntryId> {
        self.previous
    }

    /// Whether a ledger has begun since the last call before which whole ledgers may be missing, since nobody counts.
    pub fn take_uncounted_ledger(&mut self) -> bool {
        std::mem::take(&mut self.is_uncounted)
    }

    /// Looks at an entry with so many messages; the index is that of its last one.
    pub fn follow(&mut self, id: EntryId, messages: u32, index: Option<u64>) -> Result<Verdict> {
        match self.previous {
            None => self.check_first(id, messages, index)?,
            Some(previous) if id <= previous => return Ok(Verdict::Repeated),
            Some(previous) => {
                let is_counted = self.check_next(previous, id, messages, index)?;
                let counts = self.index.is_some() && index.is_some() && is_counted;
                self.is_uncounted |= id.ledger != previous.ledger && !counts && !self.allows_gaps;
            }
        }
        self.previous = Some(id);
        self.index = index;
        Ok(Verdict::Take)
    }

    fn check_first(&self, id: EntryId, messages: u32, index: Option<u64>) -> Result<()> {
        let gone = |expected: &str| {
            Error::lost(format!("the oldest entry is {id}, expected {expected}: messages between were taken away"))
        };
        match self.expectation {
            Expectation::Exactly(expected) if id != expected => Err(gone(&format!("{expected}"))),
            Expectation::From(expected) | Expectation::Between(expected, _) if id < expected => {
                Err(Error::lost(format!("the broker began with entry {id}, before the {expected} that was asked for")))
            }
            Expectation::Beginning => match index {
                Some(index) if index >= u64::from(messages) => Err(gone("the first of the topic")),
                _ => Ok(()),
            },
            Expectation::FirstEver(from, to) => match index {
                Some(index) if index >= u64::from(messages) => Err(Error::lost(format!(
                    "the oldest entry is {id}, which is not the first that the partition ever had, and its anchor has moved \
                     from {from} to {to}, though nothing was read: messages between may have been taken away; \
                     {ADVICE_UNREAD}"
                ))),
                _ => Ok(()),
            },
            Expectation::Between(_, needed) if id > needed => Err(gone(&format!("{needed} or one before it"))),
            Expectation::Oldest | Expectation::Exactly(_) | Expectation::From(_) | Expectation::Between(..) => Ok(()),
        }
    }

    /// Refuses an entry before which others are missing; whether the broker has counted as many messages as it is said to
    /// be.
    ///
    /// How many messages an entry is, its producer says twice: to the broker, which counts, and in the entry. Where the two
    /// differ and no entry lies between, none is missing. Between two ledgers nothing but the count tells, so there the
    /// entry is refused, unless others have shown that the producers' numbers are none to count with.
    fn check_next(&mut self, previous: EntryId, id: EntryId, messages: u32, index: Option<u64>) -> Result<bool> {
        if self.allows_gaps {
            return Ok(true);
        }
        let advice = "a topic with transactions or replicated subscriptions cannot be read; of another one messages were \
                      taken away, and --fresh begins anew";
        if !previous.is_before(id) {
            return Err(Error::lost(format!(
                "entry {id} came after {previous}: entries between are missing; {advice}"
            )));
        }
        if let (Some(before), Some(index)) = (self.index, index) {
            let expected = before.saturating_add(u64::from(messages));
            if index == expected {
                return Ok(true);
            }
            self.is_miscounted |= index > before && (id.ledger == previous.ledger || index < expected);
            if !self.is_miscounted || index <= before {
                return Err(Error::lost(format!(
                    "entry {id} ends with the topic's message {index}, expected {expected} after {previous}: \
                     messages between are missing; {advice}"
                )));
            }
            return Ok(false);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A log of entries with their messages and index: ledgers of chance sizes.
    fn log(ledgers: &[usize], counts: &[u32]) -> Vec<(EntryId, u32, u64)> {
        let (mut log, mut messages) = (Vec::new(), 0u64);
        let mut counts = counts.iter().cycle();
        for (at, size) in ledgers.iter().enumerate() {
            for entry in 0..*size {
                let count = *counts.next().unwrap();
                messages += u64::from(count);
                let id = EntryId { ledger: 3 * at as u64, entry: entry as u64 };
                log.push((id, count, messages - 1));
            }
        }
        log
    }

    #[test]
    fn a_ledger_that_begins_where_nobody_counts_is_told_once() {
        let at = |ledger, entry| EntryId { ledger, entry };
        let follows = |index: Option<u64>| {
            let mut continuity = Continuity::new(Expectation::Oldest, false);
            let ids = [at(3, 0), at(3, 1), at(9, 0), at(9, 1)];
            let follow = |(id, index): (EntryId, Option<u64>)| {
                continuity.follow(id, 1, index).unwrap();
                continuity.take_uncounted_ledger()
            };
            let indexed = ids.into_iter().zip(0u64..).map(|(id, at)| (id, index.map(|first| first + at)));
            indexed.map(follow).collect::<Vec<_>>()
        };
        assert_eq!(follows(None), [false, false, true, false]);
        assert_eq!(follows(Some(7)), [false; 4]);
    }

    #[test]
    fn an_entry_that_is_said_to_be_another_number_of_messages_is_no_loss() {
        let at = |ledger, entry| EntryId { ledger, entry };
        for claimed in [1, 3, 100, i32::MAX as u32] {
            let mut continuity = Continuity::new(Expectation::Beginning, false);
            // The broker counts two messages an entry.
            for entry in 0..3u64 {
                let messages = if entry == 1 { claimed } else { 2 };
                assert_eq!(
                    continuity.follow(at(3, entry), messages, Some(2 * entry + 1)),
                    Ok(Verdict::Take),
                    "{claimed}"
                );
            }
            assert!(!continuity.take_uncounted_ledger());
            // After that no number tells that a ledger follows another one.
            assert_eq!(continuity.follow(at(9, 0), 1, Some(7)), Ok(Verdict::Take));
            assert!(continuity.take_uncounted_ledger());
            // What is stored counts on, whoever says what.
            assert!(continuity.follow(at(9, 1), 1, Some(7)).is_err());
        }
        let mut begins = Continuity::new(Expectation::Beginning, false);
        assert_eq!(begins.follow(at(3, 0), i32::MAX as u32, Some(0)), Ok(Verdict::Take));
        let mut next = Continuity::new(Expectation::Oldest, false);
        next.follow(at(3, 7), 1, Some(7)).unwrap();
        assert!(next.follow(at(9, 0), 1, Some(9)).is_err(), "a ledger of one message may be missing");
    }

    proptest! {
        #[test]
        fn what_is_whole_passes_and_any_missing_entry_is_noticed(
            ledgers in proptest::collection::vec(1usize..5, 1..5),
            counts in proptest::collection::vec(1u32..4, 1..5),
            missing: proptest::sample::Index,
            repeated: proptest::sample::Index,
        ) {
            let log = log(&ledgers, &counts);
            let run = |entries: &[(EntryId, u32, u64)], expectation| {
                let mut continuity = Continuity::new(expectation, false);
                entries.iter().map(|(id, count, index)| continuity.follow(*id, *count, Some(*index))).collect::<Result<Vec<_>>>()
            };
            for expectation in [Expectation::Oldest, Expectation::Beginning, Expectation::Exactly(log[0].0)] {
                prop_assert!(run(&log, expectation).unwrap().iter().all(|verdict| *verdict == Verdict::Take));
            }
            let mut again = log.clone();
            let at = repeated.index(log.len());
            again.insert(at + 1, log[at]);
            prop_assert_eq!(run(&again, Expectation::Oldest).unwrap()[at + 1], Verdict::Repeated);
            let mut gapped = log.clone();
            let at = missing.index(log.len());
            gapped.remove(at);
            // What is missing at the end cannot be noticed before more comes.
            if at + 1 < log.len() {
                prop_assert!(run(&gapped, Expectation::Beginning).is_err());
                prop_assert!(run(&gapped, Expectation::Exactly(log[0].0)).is_err());
            }
        }
    }
}
