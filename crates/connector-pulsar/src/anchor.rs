//! Anchors: durable subscriptions that keep brokers from taking away what a job has not read durably.
//!
//! An anchor stands before the oldest entry that its job needs. The job alone moves it; where it stands beyond that entry
//! somebody else has moved it, or it was deleted and made again, and messages may be gone.

use crate::error::{Error, Result};
use crate::position::EntryId;
use crate::wire::protocol::MessageIdData;
use std::fmt;

/// A durable subscription of a job, one per partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The name of the subscription, which is the same on all partitions of a topic.
    pub name: String,
    /// Whether it is known to have been made. One that was is never made again at the beginning.
    pub is_made: bool,
    /// Where it stood when it was made, as long as nothing was read since, if that is known.
    pub begun_at: Option<AnchorPlace>,
}

/// What is known of an anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorFacts {
    /// The last entry that need not be kept, if the broker has told.
    pub stands_at: Option<AnchorPlace>,
    /// How many entries lie after that.
    pub backlog: Option<u64>,
}

/// Where a subscription stands: after an entry, or before the first one of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnchorPlace {
    ledger: i64,
    /// -1 is before the first.
    entry: i64,
}

impl AnchorPlace {
    /// After this entry of a ledger; -1 is before its first one.
    pub fn new(ledger: i64, entry: i64) -> AnchorPlace {
        AnchorPlace { ledger, entry }
    }

    /// The ledger and the entry.
    pub fn numbers(self) -> (i64, i64) {
        (self.ledger, self.entry)
    }

    pub(crate) fn of(id: &MessageIdData) -> AnchorPlace {
        // Numbers below zero come as large ones.
        AnchorPlace { ledger: id.ledger_id.cast_signed(), entry: id.entry_id.cast_signed() }
    }

    /// The entry that it stands after, or the first one of the ledger that it stands before.
    pub(crate) fn entry(self) -> Option<EntryId> {
        let (ledger, entry) = (u64::try_from(self.ledger).ok()?, u64::try_from(self.entry.max(0)).ok()?);
        Some(EntryId { ledger, entry })
    }

    /// Whether it stands before the first entry of a ledger.
    pub fn is_before_ledger(self) -> bool {
        self.entry < 0
    }
}

impl From<EntryId> for AnchorPlace {
    fn from(id: EntryId) -> AnchorPlace {
        AnchorPlace { ledger: id.ledger.cast_signed(), entry: id.entry.cast_signed() }
    }
}

impl fmt::Display for AnchorPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_before_ledger() {
            write!(f, "the beginning of ledger {}", self.ledger)
        } else {
            write!(f, "{}:{}", self.ledger, self.entry)
        }
    }
}

/// What to do about an anchor that is not where it was put.
const ADVICE: &str = "`riverrun stop --forget` lets go of it, and the next run finds out whether what it needs is there; \
                      `--fresh` begins anew";

/// The same where nothing was read, so that nothing is known to be needed.
pub(crate) const ADVICE_UNREAD: &str = "`--fresh` begins anew; where the job has written no row yet, `riverrun stop \
                                        --forget` lets go of it, and the next run begins with the oldest message that is \
                                        there";

impl Anchor {
    /// An anchor that is made where it is not there.
    pub fn new(name: impl Into<String>) -> Anchor {
        Anchor { name: name.into(), is_made: false, begun_at: None }
    }

    /// Refuses a place beyond the oldest entry that is needed. Right at it nothing is gone that was not read, and whether
    /// the entry itself is there shows where the reader begins.
    pub(crate) fn check(&self, stands_at: AnchorPlace, needed: Option<EntryId>) -> Result<()> {
        let name = &self.name;
        let (what, advice) = match needed {
            Some(needed) if stands_at > needed.into() => (format!("and {needed} is still needed"), ADVICE),
            None if !stands_at.is_before_ledger() => {
                ("and nothing was read of the partition".to_owned(), ADVICE_UNREAD)
            }
            _ => return Ok(()),
        };
        Err(Error::lost(format!(
            "the subscription \"{name}\" stands at {stands_at}, {what}: messages expired, were evicted or skipped, were \
             acknowledged by somebody else, or it was deleted and is a new one; {advice}"
        )))
    }

    /// Why a broker does not take it.
    pub(crate) fn refused(&self, error: Error) -> Error {
        let what = format!("the subscription \"{}\", which keeps what the job has not read, is refused", self.name);
        error.context(what).with_hint(
            "let the role consume in the namespace and have it made there, or set anchors = false in live of \
             riverrun.toml to go without: then its retention has to be longer than the job may stand still",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_beyond_what_is_needed_is_named() {
        let anchor = Anchor::new("job");
        let at = |ledger, entry| AnchorPlace { ledger, entry };
        let needed = Some(EntryId { ledger: 7, entry: 3 });
        for place in [at(3, 99), at(7, -1), at(7, 2), at(7, 3)] {
            assert_eq!(anchor.check(place, needed), Ok(()), "{place}");
        }
        for place in [at(7, 4), at(8, -1), at(9, 0)] {
            let error = anchor.check(place, needed).unwrap_err().to_string();
            assert!(error.contains(&format!("stands at {place}, and 7:3 is still needed")), "{error}");
        }
        assert_eq!(anchor.check(at(8, -1), None), Ok(()));
        let error = anchor.check(at(8, 0), None).unwrap_err().to_string();
        assert!(error.contains("stands at 8:0, and nothing was read of the partition"), "{error}");
    }
}
