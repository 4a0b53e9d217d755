//! Random steps whose twins agree with them to the bit.

use super::super::condition::Condition;
use super::super::decision::TestRule;
use super::dice::Dice;
use crate::harness::schema;
use crate::{Aggregate, RangeFunction, as_of, range, window, zip};
use arrow::datatypes::{DataType, SchemaRef};
use dataflow::{Batch, Evaluated, Result, Scalar, Span};
use std::sync::Arc;

/// A column of the input.
#[derive(Debug)]
struct Column {
    at: usize,
    data_type: DataType,
}

impl Scalar for Column {
    fn data_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn evaluate(&self, batch: &Batch) -> Result<Evaluated> {
        Ok(batch.column(self.at).clone().into())
    }
}

/// Some columns of a schema as they are.
pub(super) fn kept(schema: &SchemaRef, columns: &[usize]) -> Vec<Arc<dyn Scalar>> {
    let column = |&at: &usize| Arc::new(Column { at, data_type: schema.field(at).data_type().clone() }) as _;
    columns.iter().map(column).collect()
}

/// The columns of the test schema, with a condition as the flag.
pub(super) fn projection(condition: Condition) -> Vec<Arc<dyn Scalar>> {
    let mut columns = kept(&schema(), &[0, 1, 2, 3]);
    columns.push(Arc::new(condition));
    columns
}

/// Functions of windows on which no row fails.
const SAFE: [(Aggregate, Option<usize>); 7] = [
    (Aggregate::Count, None),
    (Aggregate::Count, Some(2)),
    (Aggregate::CountDistinct, Some(3)),
    (Aggregate::Min, Some(3)),
    (Aggregate::Max, Some(1)),
    (Aggregate::Lag { offset: 1 }, Some(3)),
    (Aggregate::Lag { offset: 2 }, Some(1)),
];

pub(super) fn window(dice: &mut Dice, partition_by: Vec<usize>, node: usize) -> window::Spec {
    let all = [&SAFE[..], &[(Aggregate::Sum, Some(1))]].concat();
    window_of(&all, dice, partition_by, node)
}

/// A window that only appends columns: no row fails, and leaves.
pub(super) fn safe_window(dice: &mut Dice, partition_by: Vec<usize>, node: usize) -> window::Spec {
    window_of(&SAFE, dice, partition_by, node)
}

fn window_of(
    known: &[(Aggregate, Option<usize>)],
    dice: &mut Dice,
    partition_by: Vec<usize>,
    node: usize,
) -> window::Spec {
    use Aggregate::Lag;
    let functions = (0..=dice.below(3)).map(|index| {
        let (aggregate, argument) = dice.pick(known);
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

/// Appends to rows that went around what a branch has computed of them, and their own columns that did not go.
pub(super) fn zip(keys: Vec<usize>, kept: &[usize], branch: &SchemaRef) -> zip::Spec {
    let stayed = (0..branch.fields().len()).filter(|column| !kept.contains(column));
    let columns = stayed.map(|column| (column, branch.field(column).name().clone())).collect();
    zip::Spec { left_keys: keys.clone(), right_keys: keys, columns }
}

pub(super) fn rules(dice: &mut Dice) -> Vec<TestRule> {
    let mut rule = || {
        let condition = dice.pick(&[Condition::Flag, Condition::Positive]);
        (condition, dice.chance(30), dice.chance(50).then(|| dice.between(1, 20)))
    };
    vec![rule(), rule()]
}
