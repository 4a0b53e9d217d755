//! Arms of experiments.

use super::bound::{Bound, total};
use super::kernel::{Argument, KernelResult};
use super::scope::Problem;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use dataflow::key_hashes;
use std::sync::Arc;

/// The arms of an experiment: a share of the buckets for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Arms {
    pub(crate) experiment: String,
    /// The arms and the first bucket after each.
    pub(crate) arms: Vec<(String, u64)>,
}

/// The buckets that keys are divided into.
const BUCKETS: u64 = 10_000;

/// The arm that a key is in: a pure function of the key and the experiment, so that a replay gives the same arm.
pub(crate) fn arm(arms: &Arms, key: Bound) -> Result<Bound, Problem> {
    let arms = arms.clone();
    total("arm", vec![key], DataType::Utf8, false, move |arguments, rows| arms.of(&arguments[0], rows))
}

impl Arms {
    fn of(&self, key: &Argument, rows: usize) -> KernelResult {
        let salt: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.experiment, rows)));
        let hashes = key_hashes(&[salt, key.array(rows)?], rows);
        let hashes = hashes.map_err(|error| ArrowError::ComputeError(error.to_string()))?;
        let arm = |hash: u64| {
            let bucket = hash % BUCKETS;
            self.arms.iter().find(|(_, end)| bucket < *end).map_or("", |(name, _)| name.as_str())
        };
        Ok(Arc::new(StringArray::from_iter_values(hashes.into_iter().map(arm))))
    }
}
