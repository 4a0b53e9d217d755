//! Which rows count.

use arrow::array::{Array, AsArray};
use dataflow::Batch;

/// A flag of the log: whether a row counts for functions of an argument and a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) argument: Option<usize>,
    pub(super) filter: Option<usize>,
}

impl Flag {
    /// The flags of the rows of a batch.
    pub(super) fn of(self, batch: &Batch) -> Vec<u8> {
        let mut flags = vec![1; batch.rows()];
        if let Some(nulls) = self.argument.and_then(|column| batch.column(column).logical_nulls()) {
            flags.iter_mut().zip(nulls.iter()).for_each(|(flag, is_there)| *flag &= u8::from(is_there));
        }
        if let Some(filter) = self.filter.and_then(|column| batch.column(column).as_boolean_opt()) {
            for (row, flag) in flags.iter_mut().enumerate() {
                *flag &= u8::from(filter.is_valid(row) && filter.value(row));
            }
        }
        flags
    }
}
