//! What is known of whether the broker removes duplicates.
//!
//! A broker tells how far a name has come only when a producer of that name is opened. One that knows of less than it has
//! acknowledged removes no duplicates, or has forgotten the name, as brokers do when a producer was away for long. What it
//! has forgotten does no harm while nothing is in doubt: while all that was ever sent under the name is known to be stored.

use super::options::{EarlierMessages, Guarantee};
use crate::error::{Error, Result};

/// What is known of whether the broker removes duplicates of a producer.
#[derive(Debug)]
pub struct Deduplication {
    guarantee: Guarantee,
    /// The greatest sequence that was acknowledged with a place; a broker that removes duplicates knows it.
    acknowledged: Option<u64>,
    /// Whether a session after the first acknowledgement has shown that the broker knows sequences.
    is_there: Option<bool>,
    /// Whether it was there once, also in an earlier run. From then on no message may come to be there twice.
    was_there: bool,
    /// The greatest sequence that is known to have been sent under the name.
    sent: Option<u64>,
    /// Whether that holds for an earlier run too, which may have sent more than is known until a broker tells.
    knows_all_sent: bool,
    /// Whether the producer is opened anew only to see what the broker knows.
    is_looking: bool,
}

impl Deduplication {
    pub fn new(guarantee: Guarantee, earlier: EarlierMessages) -> Self {
        // A broker that has nothing of the producer to know shows with the first message whether it does.
        let is_there = earlier.is_deduplicated.filter(|_| earlier.stored.is_some());
        Deduplication {
            guarantee,
            acknowledged: earlier.stored,
            is_there,
            was_there: earlier.is_deduplicated == Some(true),
            sent: earlier.stored,
            knows_all_sent: earlier.is_all,
            is_looking: false,
        }
    }

    /// Whether the broker removes duplicates, once it has shown that.
    pub fn is_there(&self) -> Option<bool> {
        self.is_there.or(self.was_there.then_some(true))
    }

    /// Whether it has still to be seen.
    pub fn is_unsure(&self) -> bool {
        self.guarantee != Guarantee::AtLeastOnce && self.is_there.is_none()
    }

    /// Whether the producer is opened anew only to see it.
    pub fn is_looking(&self) -> bool {
        self.is_looking
    }

    /// A message, or a part of it, is sent.
    pub fn note_sent(&mut self, sequence: u64) {
        self.sent = self.sent.max(Some(sequence));
    }

    /// Messages up to a sequence were acknowledged with a place. True if the producer is to be opened anew: what a broker
    /// knows of sequences is only seen by that.
    pub fn note_acknowledged(&mut self, sequence: u64) -> bool {
        self.acknowledged = self.acknowledged.max(Some(sequence));
        self.is_looking |= self.is_unsure();
        self.is_looking
    }

    /// The producer was opened, and the broker says how far it has come. `stored` is up to where all is known to be stored.
    pub fn note_opened(&mut self, taken: Option<u64>, stored: Option<u64>) -> Result<()> {
        let in_doubt = !self.knows_all_sent || self.sent > stored;
        let tells = std::mem::take(&mut self.is_looking) || in_doubt || self.guarantee == Guarantee::AtLeastOnce;
        match self.acknowledged {
            None => {}
            Some(acknowledged) if taken >= Some(acknowledged) => (self.is_there, self.was_there) = (Some(true), true),
            Some(acknowledged) if tells && self.is_demanded() => return Err(self.gone(acknowledged, taken)),
            Some(_) if tells || self.is_there == Some(false) => self.is_there = Some(false),
            // Nothing of what it has forgotten can come again, and the next acknowledgement shows whether it goes on.
            Some(_) => (self.acknowledged, self.is_there) = (None, None),
        }
        self.sent = self.sent.max(taken);
        self.knows_all_sent = true;
        Ok(())
    }

    /// Whether it is an error where the broker removes no duplicates.
    fn is_demanded(&self) -> bool {
        match self.guarantee {
            Guarantee::AtLeastOnce => false,
            Guarantee::AsTheBrokerHas => self.was_there,
            Guarantee::EffectivelyOnce => true,
        }
    }

    fn gone(&self, acknowledged: u64, taken: Option<u64>) -> Error {
        let taken = taken.map_or("no message".to_owned(), |taken| format!("messages up to {taken}"));
        let known = format!("message {acknowledged} is stored, and the broker knows of {taken}");
        Error::lost(match self.guarantee {
            Guarantee::AsTheBrokerHas => format!(
                "{known}: its deduplication was switched off, or it has forgotten the producer, as brokers do with one that \
                 was away for brokerDeduplicationProducerInactivityTimeoutMinutes, so that rows after the last checkpoint \
                 would be there twice; `riverrun run --accept-duplicates` goes on all the same, and gives such rows the \
                 same property riverrun.row"
            ),
            Guarantee::AtLeastOnce | Guarantee::EffectivelyOnce => format!(
                "{known}: its deduplication is off, or has forgotten the name, and the first row for each partition may be \
                 on the topic now; switch it on, and publish under another name what is not there"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_job(earlier: EarlierMessages) -> Deduplication {
        Deduplication::new(Guarantee::AsTheBrokerHas, earlier)
    }

    fn left(stored: u64, is_deduplicated: Option<bool>, is_all: bool) -> EarlierMessages {
        EarlierMessages { stored: Some(stored), is_deduplicated, is_all }
    }

    #[test]
    fn a_broker_that_has_forgotten_what_may_come_again_ends_the_producer() {
        let mut killed = of_job(left(7, Some(true), false));
        let error = killed.note_opened(None, Some(7)).unwrap_err().to_string();
        assert!(error.contains("message 7 is stored, and the broker knows of no message"), "{error}");
        assert!(error.contains("--accept-duplicates"), "{error}");
        let error = of_job(left(7, Some(true), true)).note_opened(Some(3), Some(7));
        assert_eq!(error.err(), None, "of a run that came to its end nothing comes again");
        // What the broker had taken before is in doubt too, also once it was said.
        let mut replaying = of_job(left(7, Some(true), false));
        replaying.note_opened(Some(9), Some(7)).unwrap();
        assert_eq!(replaying.is_there(), Some(true));
        assert!(replaying.note_opened(None, Some(7)).is_err());
    }

    #[test]
    fn a_broker_that_forgets_while_nothing_is_in_doubt_is_asked_again() {
        let mut rare = of_job(EarlierMessages::default());
        rare.note_opened(None, None).unwrap();
        rare.note_sent(0);
        assert!(rare.note_acknowledged(0), "the first acknowledgement is looked at");
        rare.note_opened(Some(0), Some(0)).unwrap();
        assert_eq!((rare.is_there(), rare.is_unsure()), (Some(true), false));
        // Away for hours.
        rare.note_opened(None, Some(0)).unwrap();
        assert_eq!((rare.is_there(), rare.is_unsure()), (Some(true), true));
        rare.note_sent(1);
        assert!(rare.note_acknowledged(1) && rare.is_looking());
        rare.note_opened(Some(1), Some(1)).unwrap();
        assert_eq!((rare.is_there(), rare.is_looking()), (Some(true), false));
        // In flight when it is forgotten.
        rare.note_sent(2);
        assert!(rare.note_opened(None, Some(1)).is_err());
    }

    #[test]
    fn deduplication_that_is_switched_off_ends_a_producer_that_had_it_and_is_told_of_one_that_had_not() {
        let mut had = of_job(left(7, Some(true), true));
        had.note_opened(None, Some(7)).unwrap();
        had.note_sent(8);
        assert!(had.note_acknowledged(8));
        assert!(had.note_opened(None, Some(8)).is_err());

        // Of a partition that was added meanwhile, the broker has no message to know.
        let mut added = of_job(EarlierMessages { stored: None, is_deduplicated: Some(true), is_all: false });
        added.note_opened(None, None).unwrap();
        added.note_sent(9);
        assert_eq!((added.is_there(), added.note_acknowledged(9)), (Some(true), true));
        assert!(added.note_opened(None, Some(9)).is_err());

        // Nor does it say that there is none, where it was switched on since.
        let without_rows = of_job(EarlierMessages { stored: None, is_deduplicated: Some(false), is_all: true });
        assert_eq!((without_rows.is_there(), without_rows.is_unsure()), (None, true));

        let mut never = of_job(EarlierMessages::default());
        never.note_opened(None, None).unwrap();
        never.note_sent(0);
        assert!(never.note_acknowledged(0));
        never.note_opened(None, Some(0)).unwrap();
        assert_eq!((never.is_there(), never.is_unsure()), (Some(false), false));
        // Nor does a run that goes on look again with one message at a time.
        let mut later = of_job(left(0, Some(false), true));
        later.note_opened(None, Some(0)).unwrap();
        assert_eq!((later.is_there(), later.is_unsure()), (Some(false), false));
    }
}
