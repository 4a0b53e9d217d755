//! The accumulators: which one an aggregate needs, and the columns that come out of what was read.

use super::Computed;
use super::cells::{Asking, Looks, Passed, go};
use super::counts::{Counts, IntegerSum, Integers};
use super::distinct::{Distinct, DistinctCells};
use super::extreme::{Extreme, ExtremeCells};
use super::sums::{Exact, Moments, Numbers, Sum};
use crate::{Aggregate, aggregate};
use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::DataType;
use dataflow::{Error, Result};
use state::Values;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

/// One accumulator of a frame; functions of the same argument, filter and frame share it where it serves both.
#[derive(Debug)]
pub(super) struct Accumulator {
    pub(super) looks: Looks,
    pub(super) enter: usize,
    pub(super) leave: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Counts(Counts),
    Integers(Integers),
    Sums(Exact<Sum>),
    Moments(Exact<Moments>),
    Distinct { distinct: Distinct, read: Vec<i64> },
    Extreme { extreme: Extreme, wanted: Ordering, bits: Vec<u64>, there: Vec<u8> },
}

impl Accumulator {
    /// Whether an aggregate looks at its argument beyond whether it is there.
    pub(super) fn needs_value(aggregate: Aggregate) -> bool {
        aggregate != Aggregate::Count
    }

    pub(super) fn new(
        aggregate: Aggregate,
        argument: Option<&DataType>,
        looks: Looks,
        enter: usize,
        leave: usize,
    ) -> Result<Accumulator> {
        let numbers = match argument {
            Some(DataType::UInt64) => Numbers::Unsigned,
            Some(other) if aggregate::is_float(other) => Numbers::Float,
            _ => Numbers::Signed,
        };
        let extreme =
            |wanted| Kind::Extreme { extreme: Extreme::default(), wanted, bits: Vec::new(), there: Vec::new() };
        let kind = match aggregate {
            Aggregate::Count => Kind::Counts(Counts::default()),
            Aggregate::CountDistinct => Kind::Distinct { distinct: Distinct::default(), read: Vec::new() },
            Aggregate::Sum | Aggregate::Avg => match numbers {
                Numbers::Float => Kind::Sums(Exact::new(numbers)),
                _ => Kind::Integers(Integers { is_unsigned: numbers == Numbers::Unsigned, ..Integers::default() }),
            },
            Aggregate::Min => extreme(Ordering::Less),
            Aggregate::Max => extreme(Ordering::Greater),
            Aggregate::StddevSamp | Aggregate::StddevPop | Aggregate::VarSamp | Aggregate::VarPop => {
                Kind::Moments(Exact::new(numbers))
            }
            Aggregate::Lag { .. } => return Err(Error::internal("lag has no frame")),
        };
        Ok(Accumulator { looks, enter, leave, kind })
    }

    /// Whether another accumulator holds the same.
    pub(super) fn is_same(&self, other: &Accumulator) -> bool {
        let is_same_kind = match (&self.kind, &other.kind) {
            (Kind::Extreme { wanted, .. }, Kind::Extreme { wanted: other, .. }) => wanted == other,
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        };
        is_same_kind && (self.looks, self.enter, self.leave) == (other.looks, other.enter, other.leave)
    }

    /// Makes room for key ids below `ids`.
    pub(super) fn grow(&mut self, ids: usize) {
        match &mut self.kind {
            Kind::Counts(counts) => resize(&mut counts.by_key, ids),
            Kind::Integers(sums) => resize(&mut sums.by_key, ids),
            Kind::Sums(sums) => resize(&mut sums.by_key, ids),
            Kind::Moments(moments) => resize(&mut moments.by_key, ids),
            Kind::Distinct { distinct, .. } => resize(&mut distinct.by_key, ids),
            Kind::Extreme { extreme, .. } => {
                if extreme.by_key.len() < ids {
                    extreme.by_key.resize_with(ids, VecDeque::new);
                }
            }
        }
    }

    /// Goes over a chunk and keeps what was read for [`Accumulator::finish`]. `values` are those of the column that it
    /// looks at.
    pub(super) fn run(
        &mut self,
        asking: &Asking,
        keys: &[u32],
        enter: &Passed,
        leave: &Passed,
        values: Option<&Values>,
    ) {
        let looks = self.looks;
        match (&mut self.kind, values) {
            (Kind::Counts(counts), _) => {
                counts.read.clear();
                go(counts, asking, keys, enter, leave, looks);
            }
            (Kind::Integers(sums), _) => {
                sums.sums.clear();
                sums.counts.clear();
                go(sums, asking, keys, enter, leave, looks);
            }
            (Kind::Sums(sums), _) => {
                sums.results.clear();
                sums.counts.clear();
                go(sums, asking, keys, enter, leave, looks);
            }
            (Kind::Moments(moments), _) => {
                moments.results.clear();
                moments.counts.clear();
                go(moments, asking, keys, enter, leave, looks);
            }
            (Kind::Distinct { distinct, read }, Some(values)) => {
                read.clear();
                go(&mut DistinctCells { distinct, values, read }, asking, keys, enter, leave, looks);
            }
            (Kind::Extreme { extreme, wanted, bits, there }, Some(values)) => {
                bits.clear();
                there.clear();
                let mut cells = ExtremeCells { extreme, values, wanted: *wanted, bits, there };
                go(&mut cells, asking, keys, enter, leave, looks);
            }
            (Kind::Distinct { .. } | Kind::Extreme { .. }, None) => {}
        }
    }

    /// The column of what was read last.
    pub(super) fn finish(&self, aggregate: Aggregate, values: Option<&Values>) -> Result<Computed> {
        let good = |values: ArrayRef| Ok(Computed { values, bad: Vec::new() });
        match (&self.kind, values) {
            (Kind::Counts(counts), _) => good(Arc::new(Int64Array::from(counts.read.clone()))),
            (Kind::Distinct { read, .. }, _) => good(Arc::new(Int64Array::from(read.clone()))),
            (Kind::Integers(sums), _) if aggregate == Aggregate::Sum => Ok(integer_sums(sums)),
            (Kind::Integers(sums), _) => {
                good(divided(sums.sums.iter().map(|&sum| sum as f64), &sums.counts, |count| count, 1))
            }
            (Kind::Sums(sums), _) if aggregate == Aggregate::Sum => {
                good(divided(sums.results.iter().copied(), &sums.counts, |_| 1.0, 1))
            }
            (Kind::Sums(sums), _) => good(divided(sums.results.iter().copied(), &sums.counts, |count| count, 1)),
            (Kind::Moments(moments), _) => good(variances(moments, aggregate)),
            (Kind::Extreme { bits, there, .. }, Some(values)) => good(values.decode(bits, there)?),
            (Kind::Extreme { .. }, None) => Err(Error::internal("a least or greatest value of no column")),
        }
    }

    pub(super) fn size(&self) -> usize {
        match &self.kind {
            Kind::Counts(counts) => counts.by_key.capacity() * 4,
            Kind::Integers(sums) => sums.by_key.capacity() * size_of::<IntegerSum>(),
            Kind::Sums(sums) => sums.size(),
            Kind::Moments(moments) => moments.size(),
            Kind::Distinct { distinct, .. } => distinct.size(),
            Kind::Extreme { extreme, .. } => extreme.size(),
        }
    }
}

fn resize<T: Clone + Default>(cells: &mut Vec<T>, ids: usize) {
    if cells.len() < ids {
        cells.resize(ids, T::default());
    }
}

/// The sums that fit a BIGINT; NULL for empty frames, and bad where they do not fit.
fn integer_sums(sums: &Integers) -> Computed {
    let mut bad = Vec::new();
    let values: Int64Array = sums
        .sums
        .iter()
        .zip(&sums.counts)
        .enumerate()
        .map(|(row, (&sum, &count))| {
            if count == 0 {
                return None;
            }
            let sum = i64::try_from(sum).ok();
            if sum.is_none() {
                bad.push(row);
            }
            sum
        })
        .collect();
    Computed { values: Arc::new(values), bad }
}

/// Sums over a divisor that depends on the count; NULL where the count is below `least`.
fn divided(sums: impl Iterator<Item = f64>, counts: &[i64], divisor: impl Fn(f64) -> f64, least: i64) -> ArrayRef {
    let values = sums.zip(counts).map(|(sum, &count)| (count >= least).then(|| sum / divisor(count as f64)));
    Arc::new(values.collect::<Float64Array>())
}

fn variances(moments: &Exact<Moments>, aggregate: Aggregate) -> ArrayRef {
    let results = moments.results.iter().copied();
    let variances = match aggregate {
        Aggregate::VarSamp | Aggregate::StddevSamp => {
            divided(results, &moments.counts, |count| count * (count - 1.0), 2)
        }
        _ => divided(results, &moments.counts, |count| count * count, 1),
    };
    if !matches!(aggregate, Aggregate::StddevSamp | Aggregate::StddevPop) {
        return variances;
    }
    let variances: &Float64Array = arrow::array::AsArray::as_primitive(&variances);
    Arc::new(variances.unary::<_, arrow::datatypes::Float64Type>(f64::sqrt))
}
