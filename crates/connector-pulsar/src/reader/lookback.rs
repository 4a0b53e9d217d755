//! Where to look for the chunks that lie before the place at which a reader began.
//!
//! Who goes on after a message need not know which messages in chunks were not whole there. When a chunk comes whose
//! message began before, the reader goes back, a little first and then further, until it has the first chunk, or an entry
//! that is so old that the message would have been given up. It passes over what lies before its place.

use crate::position::EntryId;

/// How many entries it goes back in a ledger, one attempt after the other; then to the ledger's first entry.
const ENTRIES: [u64; 3] = [16, 256, 4096];
/// How much further by ledgers each attempt goes than the one before. The numbers of ledgers are those of a whole cluster,
/// and a place in a ledger that is not there stands for the first entry of a later one.
const LEDGERS_FACTOR: u64 = 16;

/// Before all entries of a topic.
pub const OLDEST: EntryId = EntryId { ledger: 0, entry: 0 };

/// How far a reader has gone back from its place.
#[derive(Debug, Default)]
pub struct Lookback {
    place: Option<EntryId>,
    attempts: u32,
    from: Option<EntryId>,
}

impl Lookback {
    /// Where to begin instead of at a place.
    pub fn begins_at(&self, place: EntryId) -> Option<EntryId> {
        self.from.filter(|_| self.place == Some(place))
    }

    /// Goes further back from a place than before.
    pub fn go_back(&mut self, place: EntryId) {
        if self.place != Some(place) {
            *self = Lookback { place: Some(place), ..Lookback::default() };
        }
        let before = self.from.unwrap_or(place);
        while self.from.is_none_or(|from| from >= before && from > OLDEST) {
            self.from = Some(back(place, self.attempts));
            self.attempts += 1;
        }
    }
}

fn back(place: EntryId, attempt: u32) -> EntryId {
    match ENTRIES.get(attempt as usize) {
        Some(entries) => EntryId { entry: place.entry.saturating_sub(*entries), ..place },
        None => {
            let exponent = attempt.saturating_sub(ENTRIES.len() as u32);
            let ledgers = if exponent == 0 { 0 } else { LEDGERS_FACTOR.saturating_pow(exponent - 1) };
            EntryId { ledger: place.ledger.saturating_sub(ledgers), entry: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(place: EntryId) -> Vec<EntryId> {
        let mut lookback = Lookback::default();
        let mut found = Vec::new();
        while found.last() != Some(&OLDEST) {
            lookback.go_back(place);
            found.extend(lookback.begins_at(place));
        }
        found
    }

    #[test]
    fn it_goes_back_in_the_ledger_and_then_to_others() {
        let at = |ledger, entry| EntryId { ledger, entry };
        let expected =
            [at(300, 4984), at(300, 4744), at(300, 904), at(300, 0), at(299, 0), at(284, 0), at(44, 0), OLDEST];
        assert_eq!(all(at(300, 5000)), expected);
        assert_eq!(all(at(3, 10)), [at(3, 0), at(2, 0), OLDEST]);
        assert_eq!(Lookback::default().begins_at(at(3, 10)), None);
    }

    proptest! {
        #[test]
        fn each_attempt_goes_further_and_the_last_to_the_beginning(ledger in 0..i64::MAX as u64, entry in 0u64..100_000) {
            let place = EntryId { ledger, entry };
            prop_assume!(place > OLDEST);
            let found = all(place);
            prop_assert!(found[0] < place && found.windows(2).all(|pair| pair[1] < pair[0]), "{:?}", found);
            prop_assert!(found.len() < 25, "{:?}", found);
        }
    }
}
