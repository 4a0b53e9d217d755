//! Aggregates of groups, whose rows come in and never leave: the values of a window without a frame.

use super::accumulator::is_mean_time;
use super::places::Places;
use super::sums::{Cell, Exact, Moments, Narrow, Numbers, Sum};
use crate::{Aggregate, aggregate};
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float64Type};
use dataflow::{Error, Result};
use state::Values;
use std::cmp::Ordering;
use std::sync::Arc;

/// One aggregate of numbered groups. NULL arguments do not count; without a row that counts it is 0 for counts and NULL
/// for everything else.
///
/// `count(DISTINCT x)` counts what it is given: whoever calls gives each value of a group once.
#[derive(Debug)]
pub struct GroupAggregate {
    aggregate: Aggregate,
    values: Option<Values>,
    kind: Kind,
    bits: Vec<u64>,
    there: Vec<u8>,
}

#[derive(Debug)]
enum Kind {
    Counts(Vec<i64>),
    Integers { is_signed: bool, sums: Vec<(i128, i64)> },
    Sums(Exact<Sum>),
    Moments(Exact<Moments>),
    // How many bytes the values of all groups take when they are written out, each as often as groups have it.
    Extreme { wanted: Ordering, best: Vec<Option<u64>>, written: usize },
}

impl GroupAggregate {
    /// The aggregate of an argument of a type, or of rows.
    pub fn new(aggregate: Aggregate, argument: Option<&DataType>) -> Result<GroupAggregate> {
        use Aggregate::*;
        let numbers = match argument {
            Some(DataType::UInt64) => Numbers::Unsigned,
            Some(other) if aggregate::is_float(other) => Numbers::Float,
            _ => Numbers::Signed,
        };
        let kind = match aggregate {
            Count | CountDistinct => Kind::Counts(Vec::new()),
            Sum | Avg if numbers == Numbers::Float => Kind::Sums(Exact::new(numbers)),
            Sum | Avg => Kind::Integers { is_signed: numbers == Numbers::Signed, sums: Vec::new() },
            Min => Kind::Extreme { wanted: Ordering::Less, best: Vec::new(), written: 0 },
            Max => Kind::Extreme { wanted: Ordering::Greater, best: Vec::new(), written: 0 },
            StddevSamp | StddevPop | VarSamp | VarPop => Kind::Moments(Exact::new(numbers)),
            Lag { .. } => return Err(Error::internal("lag is no aggregate of a group")),
        };
        let values = argument.map(Values::new).transpose()?;
        Ok(GroupAggregate { aggregate, values, kind, bits: Vec::new(), there: Vec::new() })
    }

    /// Makes room for groups below a number.
    pub fn grow(&mut self, groups: usize) {
        match &mut self.kind {
            Kind::Counts(counts) => counts.resize(groups, 0),
            Kind::Integers { sums, .. } => sums.resize(groups, (0, 0)),
            Kind::Sums(sums) => sums.by_key.resize(groups, Cell::default()),
            Kind::Moments(moments) => moments.by_key.resize(groups, Cell::default()),
            Kind::Extreme { best, .. } => best.resize(groups, None),
        }
    }

    /// Adds rows: the group of each, their arguments, and whether each counts.
    pub fn add(&mut self, groups: &[u32], argument: Option<&ArrayRef>, counts: Option<&BooleanArray>) -> Result<()> {
        self.bits.clear();
        self.there.clear();
        match (argument, &mut self.values) {
            (Some(column), Some(values)) => values.encode(column, &mut self.bits, &mut self.there)?,
            _ => {
                self.bits.resize(groups.len(), 0);
                self.there.resize(groups.len(), 1);
            }
        }
        for (row, &group) in groups.iter().enumerate() {
            if self.there[row] == 0 {
                continue;
            }
            let bits = self.bits[row];
            let counted = counts.is_none_or(|counts| counts.is_valid(row) && counts.value(row));
            let kept = counted && self.kind.add(group as usize, bits, self.values.as_mut());
            if let (false, Some(values)) = (kept, &mut self.values) {
                values.release(bits);
            }
        }
        Ok(())
    }

    /// The values of all groups, and those whose sum of integers does not fit a BIGINT.
    pub fn finish(&mut self) -> Result<(ArrayRef, Vec<usize>)> {
        let aggregate = self.aggregate;
        let good = |values: ArrayRef| Ok((values, Vec::new()));
        match &mut self.kind {
            Kind::Counts(counts) => good(Arc::new(Int64Array::from(std::mem::take(counts)))),
            Kind::Integers { sums, .. } if aggregate == Aggregate::Sum => {
                let whole = |&(sum, count): &(i128, i64)| if count > 0 { i64::try_from(sum).ok() } else { None };
                let does_not_fit = |&(_, &(sum, _)): &(usize, &(i128, i64))| i64::try_from(sum).is_err();
                let bad = sums.iter().enumerate().filter(does_not_fit).map(|(group, _)| group).collect();
                Ok((Arc::new(sums.iter().map(whole).collect::<Int64Array>()), bad))
            }
            Kind::Integers { sums, .. }
                if let Some(values) = self.values.as_ref().filter(|of| is_mean_time(aggregate, of)) =>
            {
                let mean = |&(sum, count): &(i128, i64)| aggregate::mean_time(sum, count) as u64;
                let there: Vec<u8> = sums.iter().map(|&(_, count)| u8::from(count > 0)).collect();
                good(values.decode(&sums.iter().map(mean).collect::<Vec<u64>>(), &there)?)
            }
            Kind::Integers { sums, .. } => {
                let mean = |&(sum, count): &(i128, i64)| (count > 0).then(|| sum as f64 / count as f64);
                good(Arc::new(sums.iter().map(mean).collect::<Float64Array>()))
            }
            Kind::Sums(sums) => good(Arc::new(read(sums, aggregate))),
            Kind::Moments(moments) => good(Arc::new(read(moments, aggregate))),
            Kind::Extreme { best, .. } => {
                let values = self.values.as_ref().ok_or_else(|| Error::internal("an extreme of no argument"))?;
                let bits: Vec<u64> = best.iter().map(|best| best.unwrap_or_default()).collect();
                let there: Vec<u8> = best.iter().map(|best| u8::from(best.is_some())).collect();
                good(values.decode(&bits, &there)?)
            }
        }
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        let kind = match &self.kind {
            Kind::Counts(counts) => counts.capacity() * 8,
            Kind::Integers { sums, .. } => sums.capacity() * size_of::<(i128, i64)>(),
            Kind::Sums(sums) => sums.size(),
            Kind::Moments(moments) => moments.size(),
            Kind::Extreme { best, written, .. } => best.capacity() * size_of::<Option<u64>>() + written,
        };
        kind + self.values.as_ref().map_or(0, Values::size)
    }
}

impl Kind {
    /// Adds a value that is there; whether it is kept.
    fn add(&mut self, group: usize, bits: u64, values: Option<&mut Values>) -> bool {
        match self {
            Kind::Counts(counts) => counts[group] += 1,
            Kind::Integers { is_signed, sums } => {
                let value = if *is_signed { i128::from(bits as i64) } else { i128::from(bits) };
                let (sum, count) = &mut sums[group];
                *sum += value;
                *count += 1;
            }
            Kind::Sums(sums) => sums.enter(group as u32, bits),
            Kind::Moments(moments) => moments.enter(group as u32, bits),
            Kind::Extreme { wanted, best, written } => {
                let Some(values) = values else { return false };
                let before = best[group];
                if before.is_some_and(|before| values.compare(bits, before) != *wanted) {
                    return false;
                }
                best[group] = Some(bits);
                *written += values.written_bytes(bits);
                if let Some(before) = before {
                    *written -= values.written_bytes(before);
                    values.release(before);
                }
                return true;
            }
        }
        false
    }
}

/// What is asked of exact sums.
fn read<N: Narrow>(sums: &mut Exact<N>, aggregate: Aggregate) -> Float64Array {
    sums.results.clear();
    sums.counts.clear();
    (0..sums.by_key.len() as u32).for_each(|group| sums.read_cell(group, &Places::default()));
    let value = |(sum, count): (f64, i64)| {
        let rows = count as f64;
        let value = match aggregate {
            Aggregate::Sum => sum,
            Aggregate::Avg => sum / rows,
            Aggregate::VarSamp | Aggregate::StddevSamp => sum / (rows * (rows - 1.0)),
            _ => sum / (rows * rows),
        };
        let least = if matches!(aggregate, Aggregate::VarSamp | Aggregate::StddevSamp) { 2 } else { 1 };
        (count >= least).then_some(value)
    };
    let values: Float64Array = sums.read().map(value).collect();
    match aggregate {
        Aggregate::StddevSamp | Aggregate::StddevPop => values.unary::<_, Float64Type>(f64::sqrt),
        _ => values,
    }
}
