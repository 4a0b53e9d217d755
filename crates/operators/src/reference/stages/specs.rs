//! Random steps whose twins agree with them to the bit.

use super::super::condition::Condition;
use super::super::decision::TestRule;
use super::dice::Dice;
use crate::harness::schema;
use crate::{Aggregate, RangeFunction, as_of, range, window};
use arrow::datatypes::DataType;
use dataflow::{Batch, Evaluated, Result, Scalar, Span};
use std::sync::Arc;

/// A column of the input.
#[derive(Debug)]
struct Column(usize);

impl Scalar for Column {
    fn data_type(&self) -> DataType {
        schema().field(self.0).data_type().clone()
    }

    fn evaluate(&self, batch: &Batch) -> Result<Evaluated> {
        Ok(batch.column(self.0).clone().into())
    }
}

/// The columns of the test schema, with a condition as the flag.
pub(super) fn projection(condition: Condition) -> Vec<Arc<dyn Scalar>> {
    let mut columns: Vec<Arc<dyn Scalar>> = (0..4).map(|column| Arc::new(Column(column)) as _).collect();
    columns.push(Arc::new(condition));
    columns
}

pub(super) fn window(dice: &mut Dice, partition_by: Vec<usize>, node: usize) -> window::Spec {
    use Aggregate::*;
    let functions = (0..=dice.below(3)).map(|index| {
        let exact = [
            (Count, None),
            (Count, Some(2)),
            (CountDistinct, Some(3)),
            (Sum, Some(1)),
            (Min, Some(3)),
            (Max, Some(1)),
            (Lag { offset: 1 }, Some(3)),
            (Lag { offset: 2 }, Some(1)),
        ];
        let (aggregate, argument) = dice.pick(&exact);
        let is_lag = matches!(aggregate, Lag { .. });
        let to = if dice.chance(80) { 0 } else { dice.between(1, 8) };
        window::Function {
            name: format!("n{node}f{index}"),
            aggregate,
            argument,
            filter: (!is_lag && dice.chance(30)).then_some(4),
            frame: window::Frame { from: Span(to + dice.between(0, 30)), to: Span(to) },
            order: if dice.chance(30) { vec![3] } else { vec![] },
        }
    });
    window::Spec { partition_by, functions: functions.collect() }
}

pub(super) fn range(dice: &mut Dice, keys: Vec<usize>, node: usize) -> range::Spec {
    let functions = (0..=dice.below(2)).map(|index| {
        let exact = [(Aggregate::CountDistinct, Some(3)), (Aggregate::Sum, Some(1)), (Aggregate::Max, Some(1))];
        let exact = exact.map(|(aggregate, argument)| (RangeFunction::Aggregate(aggregate), argument));
        let of_rows = [RangeFunction::Exists, RangeFunction::Aggregate(Aggregate::Count)].map(|rows| (rows, None));
        let (computes, argument) = dice.pick(&[&of_rows[..], &exact].concat());
        let from = dice.between(-25, 15);
        range::Function {
            name: format!("n{node}f{index}"),
            computes,
            argument,
            filter: dice.chance(30).then_some(4),
            from,
            to: from + dice.between(0, 25),
        }
    });
    range::Spec { left_keys: keys.clone(), right_keys: keys, functions: functions.collect() }
}

pub(super) fn as_of(dice: &mut Dice, keys: Vec<usize>, node: usize) -> as_of::Spec {
    let columns = [1, 3].map(|column| (column, format!("n{node}met{column}"))).to_vec();
    let behind = if dice.chance(60) { 0 } else { dice.between(1, 15) };
    as_of::Spec {
        left_keys: keys.clone(),
        right_keys: keys,
        columns,
        behind: Span(behind),
        strict: dice.chance(50),
        inner: dice.chance(30),
    }
}

pub(super) fn rules(dice: &mut Dice) -> Vec<TestRule> {
    let mut rule = || {
        let condition = dice.pick(&[Condition::Flag, Condition::Positive]);
        (condition, dice.chance(30), dice.chance(50).then(|| dice.between(1, 20)))
    };
    vec![rule(), rule()]
}
