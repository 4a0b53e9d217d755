//! The accumulators: which one an aggregate needs, and the columns that come out of what was read.

use super::cells::{LogColumns, go};
use super::chunk::PassedRows;
use super::counts::{Counts, IntegerSum, Integers, Total, WideTotal};
use super::distinct::{Distinct, DistinctCells};
use super::extreme::{Extreme, ExtremeCells};
use super::function_values::FunctionValues;
use super::paged_cells::PagedCells;
use super::places::Places;
use super::steps::Steps;
use super::sums::{Exact, ExactCells, Moments, Numbers, Sum};
use crate::{Aggregate, aggregate};
use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;
use dataflow::{Error, Result};
use state::Values;
use std::cmp::Ordering;
use std::sync::Arc;

/// One accumulator of a frame; functions of the same argument, filter and frame share it where it serves both.
#[derive(Debug)]
pub(super) struct Accumulator {
    pub(super) columns: LogColumns,
    pub(super) frame: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Counts(Counts),
    SmallIntegers(Integers<i64>),
    Integers(Integers<WideTotal<false>>),
    UnsignedIntegers(Integers<WideTotal<true>>),
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
        columns: LogColumns,
        frame: usize,
    ) -> Result<Accumulator> {
        let numbers = match argument {
            Some(DataType::UInt64) => Numbers::Unsigned,
            Some(other) if aggregate::is_float(other) => Numbers::Float,
            _ => Numbers::Signed,
        };
        let is_small = argument.and_then(DataType::primitive_width).is_some_and(|bytes| bytes <= 4);
        let extreme =
            |wanted| Kind::Extreme { extreme: Extreme::default(), wanted, bits: Vec::new(), there: Vec::new() };
        let kind = match aggregate {
            Aggregate::Count => Kind::Counts(Counts::default()),
            Aggregate::CountDistinct => Kind::Distinct { distinct: Distinct::default(), read: Vec::new() },
            Aggregate::Sum | Aggregate::Avg => match numbers {
                Numbers::Float => Kind::Sums(Exact::new(numbers)),
                Numbers::Unsigned => Kind::UnsignedIntegers(Integers::default()),
                Numbers::Signed if is_small => Kind::SmallIntegers(Integers::default()),
                Numbers::Signed => Kind::Integers(Integers::default()),
            },
            Aggregate::Min => extreme(Ordering::Less),
            Aggregate::Max => extreme(Ordering::Greater),
            Aggregate::StddevSamp | Aggregate::StddevPop | Aggregate::VarSamp | Aggregate::VarPop => {
                Kind::Moments(Exact::new(numbers))
            }
            Aggregate::Lag { .. } => return Err(Error::internal("lag has no frame")),
        };
        Ok(Accumulator { columns, frame, kind })
    }

    /// Whether another accumulator holds the same.
    pub(super) fn is_same(&self, other: &Accumulator) -> bool {
        let is_same_kind = match (&self.kind, &other.kind) {
            (Kind::Extreme { wanted, .. }, Kind::Extreme { wanted: other, .. }) => wanted == other,
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        };
        is_same_kind && (self.columns, self.frame) == (other.columns, other.frame)
    }

    /// Whether it counts all rows of its frame, whatever they hold, and nothing else.
    pub(super) fn counts_all_rows(&self) -> bool {
        matches!(self.kind, Kind::Counts(_)) && self.columns.flag.is_none()
    }

    /// Whether it gives `count(*)` of its frame beside what it is for.
    pub(super) fn counts_rows_beside(&self) -> bool {
        matches!(self.kind, Kind::SmallIntegers(_) | Kind::Integers(_) | Kind::UnsignedIntegers(_))
    }

    /// The cells by place.
    pub(super) fn cells(&self) -> &dyn PagedCells {
        match &self.kind {
            Kind::Counts(counts) => &counts.by_key,
            Kind::SmallIntegers(sums) => &sums.by_key,
            Kind::Integers(sums) => &sums.by_key,
            Kind::UnsignedIntegers(sums) => &sums.by_key,
            Kind::Sums(sums) => &sums.by_key,
            Kind::Moments(moments) => &moments.by_key,
            Kind::Distinct { distinct, .. } => &distinct.by_key,
            Kind::Extreme { extreme, .. } => extreme,
        }
    }

    /// As [`Accumulator::cells`], to be changed.
    pub(super) fn cells_mut(&mut self) -> &mut dyn PagedCells {
        match &mut self.kind {
            Kind::Counts(counts) => &mut counts.by_key,
            Kind::SmallIntegers(sums) => &mut sums.by_key,
            Kind::Integers(sums) => &mut sums.by_key,
            Kind::UnsignedIntegers(sums) => &mut sums.by_key,
            Kind::Sums(sums) => &mut sums.by_key,
            Kind::Moments(moments) => &mut moments.by_key,
            Kind::Distinct { distinct, .. } => &mut distinct.by_key,
            Kind::Extreme { extreme, .. } => extreme,
        }
    }

    /// Goes over a chunk and keeps what was read for [`Accumulator::finish`]. `values` are those of the column that it
    /// looks at, and `places` tells whose cells are.
    pub(super) fn run(
        &mut self,
        steps: &Steps,
        (enter, leave): (&PassedRows, &PassedRows),
        values: Option<&Values>,
        places: &Places,
    ) {
        let columns = self.columns;
        match (&mut self.kind, values) {
            (Kind::Counts(counts), _) => {
                counts.begin(steps.reads);
                go(counts, steps, enter, leave, columns);
            }
            (Kind::SmallIntegers(sums), _) => {
                sums.begin(steps.reads);
                go(sums, steps, enter, leave, columns);
            }
            (Kind::Integers(sums), _) => {
                sums.begin(steps.reads);
                go(sums, steps, enter, leave, columns);
            }
            (Kind::UnsignedIntegers(sums), _) => {
                sums.begin(steps.reads);
                go(sums, steps, enter, leave, columns);
            }
            (Kind::Sums(sums), _) => {
                sums.results.clear();
                sums.counts.clear();
                go(&mut ExactCells { exact: sums, places }, steps, enter, leave, columns);
            }
            (Kind::Moments(moments), _) => {
                moments.results.clear();
                moments.counts.clear();
                go(&mut ExactCells { exact: moments, places }, steps, enter, leave, columns);
            }
            (Kind::Distinct { distinct, read }, Some(values)) => {
                read.clear();
                go(&mut DistinctCells { distinct, values, places, read }, steps, enter, leave, columns);
            }
            (Kind::Extreme { extreme, wanted, bits, there }, Some(values)) => {
                bits.clear();
                there.clear();
                let mut cells = ExtremeCells { extreme, values, wanted: *wanted, bits, there };
                go(&mut cells, steps, enter, leave, columns);
            }
            (Kind::Distinct { .. } | Kind::Extreme { .. }, None) => {}
        }
    }

    /// The column of what was read last.
    pub(super) fn finish(&self, aggregate: Aggregate, values: Option<&Values>) -> Result<FunctionValues> {
        let good = |values: ArrayRef| Ok(FunctionValues { values, bad: Vec::new() });
        match (&self.kind, values) {
            (Kind::Counts(counts), _) => good(Arc::new(Int64Array::from(counts.read().to_vec()))),
            (Kind::Distinct { read, .. }, _) => good(Arc::new(Int64Array::from(read.clone()))),
            (Kind::Integers(sums), Some(values)) if is_mean_time(aggregate, values) => good(mean_times(sums, values)?),
            (Kind::SmallIntegers(sums), _) => Ok(of_integers(sums, aggregate)),
            (Kind::Integers(sums), _) => Ok(of_integers(sums, aggregate)),
            (Kind::UnsignedIntegers(sums), _) => Ok(of_integers(sums, aggregate)),
            (Kind::Sums(sums), _) if aggregate == Aggregate::Sum => good(divided(sums.read(), |_| 1.0, 1)),
            (Kind::Sums(sums), _) => good(divided(sums.read(), |count| count, 1)),
            (Kind::Moments(moments), _) => good(variances(moments, aggregate)),
            (Kind::Extreme { bits, there, .. }, Some(values)) => good(values.decode(bits, there)?),
            (Kind::Extreme { .. }, None) => Err(Error::internal("a least or greatest value of no column")),
        }
    }

    pub(super) fn size(&self) -> usize {
        match &self.kind {
            Kind::Counts(counts) => counts.by_key.capacity() * 4,
            Kind::SmallIntegers(sums) => sums.by_key.capacity() * size_of::<IntegerSum<i64>>(),
            Kind::Integers(sums) => sums.by_key.capacity() * size_of::<IntegerSum<WideTotal<false>>>(),
            Kind::UnsignedIntegers(sums) => sums.by_key.capacity() * size_of::<IntegerSum<WideTotal<true>>>(),
            Kind::Sums(sums) => sums.size(),
            Kind::Moments(moments) => moments.size(),
            Kind::Distinct { distinct, .. } => distinct.size(),
            Kind::Extreme { extreme, .. } => extreme.size(),
        }
    }
}

/// What is asked of sums of integers. Their count is that of all rows: one of the values has an accumulator of its own.
fn of_integers<T: Total>(sums: &Integers<T>, aggregate: Aggregate) -> FunctionValues {
    let good = |values: ArrayRef| FunctionValues { values, bad: Vec::new() };
    match aggregate {
        Aggregate::Count => {
            good(Arc::new(Int64Array::from_iter_values(sums.read().iter().map(|sum| i64::from(sum.rows)))))
        }
        Aggregate::Sum => integer_sums(sums),
        _ => {
            let sums = sums.read().iter().map(|sum| (sum.total.as_float(), i64::from(sum.count)));
            good(divided(sums, |count| count, 1))
        }
    }
}

/// Whether a mean is asked for, and the values are times.
pub(super) fn is_mean_time(aggregate: Aggregate, values: &Values) -> bool {
    aggregate == Aggregate::Avg && aggregate::is_time(values.data_type())
}

/// The times in the middle of frames; NULL for empty ones.
fn mean_times<T: Total>(sums: &Integers<T>, values: &Values) -> Result<ArrayRef> {
    let mean = |sum: &IntegerSum<T>| aggregate::mean_time(sum.total.exact(), i64::from(sum.count)) as u64;
    let bits: Vec<u64> = sums.read().iter().map(mean).collect();
    let there: Vec<u8> = sums.read().iter().map(|sum| u8::from(sum.count > 0)).collect();
    values.decode(&bits, &there)
}

/// The sums that fit a BIGINT; NULL for empty frames, and bad where they do not fit.
fn integer_sums<T: Total>(sums: &Integers<T>) -> FunctionValues {
    let (mut bad, mut values) = (Vec::new(), Vec::with_capacity(sums.read().len()));
    for (row, sum) in sums.read().iter().enumerate() {
        let fits = sum.total.as_integer();
        if fits.is_none() {
            bad.push(row);
        }
        values.push(fits.unwrap_or_default());
    }
    let is_there = |row: usize| sums.read()[row].count > 0 && bad.binary_search(&row).is_err();
    let nulls = nulls(values.len(), is_there);
    FunctionValues { values: Arc::new(Int64Array::new(values.into(), nulls)), bad }
}

/// Sums over a divisor that depends on the count; NULL where the count is below `least`.
fn divided(sums: impl Iterator<Item = (f64, i64)>, divisor: impl Fn(f64) -> f64, least: i64) -> ArrayRef {
    let (mut values, mut counts) = (Vec::with_capacity(sums.size_hint().0), Vec::with_capacity(sums.size_hint().0));
    for (sum, count) in sums {
        values.push(sum / divisor(count as f64));
        counts.push(count);
    }
    let nulls = nulls(values.len(), |row| counts[row] >= least);
    Arc::new(Float64Array::new(values.into(), nulls))
}

/// Where values are there; `None` when all are.
fn nulls(rows: usize, is_there: impl Fn(usize) -> bool) -> Option<NullBuffer> {
    (!(0..rows).all(&is_there)).then(|| NullBuffer::new(BooleanBuffer::collect_bool(rows, is_there)))
}

fn variances(moments: &Exact<Moments>, aggregate: Aggregate) -> ArrayRef {
    let variances = match aggregate {
        Aggregate::VarSamp | Aggregate::StddevSamp => divided(moments.read(), |count| count * (count - 1.0), 2),
        _ => divided(moments.read(), |count| count * count, 1),
    };
    if !matches!(aggregate, Aggregate::StddevSamp | Aggregate::StddevPop) {
        return variances;
    }
    let variances: &Float64Array = arrow::array::AsArray::as_primitive(&variances);
    Arc::new(variances.unary::<_, arrow::datatypes::Float64Type>(f64::sqrt))
}
