//! Where a message lies in its partition, and the order of rows of equal time.

use crate::{Error, Result};

/// Where a message lies in a partition of a topic: ledger, entry, and index in the entry's batch.
///
/// Ordered as the partition's log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment of the log; less than 2^48.
    pub ledger: u64,
    /// The entry within the ledger; less than 2^40.
    pub entry: u64,
    /// The message within the entry; less than 2^24.
    pub batch_index: u32,
}

/// `_ord`: 16 bytes that order rows of equal `_time`. The order everywhere is (`_time`, `_ord`).
///
/// From a log it is partition (16 bits), ledger (48), entry (40) and batch index (24); from rows without
/// coordinates it is two hashes of 64 bits.
///
/// ```
/// use dataflow::{Position, RowOrder};
/// let first = RowOrder::of_position(0, Position { ledger: 7, entry: 1, batch_index: 0 })?;
/// let second = RowOrder::of_position(0, Position { ledger: 7, entry: 2, batch_index: 0 })?;
/// assert!(first < second);
/// assert_eq!(second.position(), (0, Position { ledger: 7, entry: 2, batch_index: 0 }));
/// # Ok::<(), dataflow::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowOrder(pub u128);

impl RowOrder {
    /// The order of a message by its coordinates; an error when one does not fit its bits.
    pub fn of_position(partition: u32, at: Position) -> Result<RowOrder> {
        if partition >= 1 << 16 || at.ledger >= 1 << 48 || at.entry >= 1 << 40 || at.batch_index >= 1 << 24 {
            return Err(Error::invalid(format!(
                "partition {partition}, message {}:{}:{} does not fit 16, 48, 40 and 24 bits",
                at.ledger, at.entry, at.batch_index
            )));
        }
        let high = (u128::from(partition) << 48) | u128::from(at.ledger);
        let low = (u128::from(at.entry) << 24) | u128::from(at.batch_index);
        Ok(RowOrder((high << 64) | low))
    }

    /// The coordinates of the message whose order this is, if it is one of a message.
    pub fn position(self) -> (u32, Position) {
        let (high, low) = (self.0 >> 64, self.0 as u64);
        let at = Position {
            ledger: high as u64 & ((1 << 48) - 1),
            entry: low >> 24,
            batch_index: low as u32 & ((1 << 24) - 1),
        };
        ((high >> 48) as u32, at)
    }

    /// The order of a row by two hashes.
    pub const fn of_hashes(first: u64, second: u64) -> RowOrder {
        RowOrder(((first as u128) << 64) | second as u128)
    }
}
