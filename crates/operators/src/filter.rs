//! Keeps the rows for which a condition is true.

use crate::bad_rows::BadRows;
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Scalar, StateReader,
};
use std::sync::Arc;

/// Puts out the rows for which a condition is true, at once and in their order.
///
/// False and NULL rows are counted as filtered. A row on which the condition fails is bad and follows the policy of its
/// stream. No state.
#[derive(Debug)]
pub struct Filter {
    predicate: Arc<dyn Scalar>,
    bad_rows: BadRows,
}

impl Filter {
    /// Filters by a boolean expression.
    pub fn new(predicate: Arc<dyn Scalar>, bad_rows: BadRows) -> Result<Filter> {
        match predicate.data_type() {
            DataType::Boolean => Ok(Filter { predicate, bad_rows }),
            other => Err(Error::invalid(format!("a condition is of type {other}, expected BOOLEAN"))),
        }
    }
}

impl Operator for Filter {
    fn process(&mut self, _: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        let evaluated = self.predicate.evaluate(batch)?;
        let Some(mask) = evaluated.values.as_boolean_opt() else {
            return Err(Error::internal(format!("a condition gave {}", evaluated.values.data_type())));
        };
        let bad = evaluated.failed;
        let kept = batch.filter(&without(mask, &bad))?;
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Out, kept.rows());
        cx.count(Fate::Filtered, batch.rows() - kept.rows() - bad.len());
        cx.emit(Port::MAIN, kept);
        self.bad_rows.remove(batch, &bad, cx)?;
        Ok(Progress::Done)
    }

    fn advance(&mut self, _: EventTime, _: &mut Context) -> Result<Progress> {
        Ok(Progress::Done)
    }

    fn next_due(&self, _: EventTime) -> Option<EventTime> {
        None
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        Ok(Arc::new(()))
    }

    fn restore(&mut self, state: &mut dyn StateReader, _: &mut Context) -> Result<()> {
        no_state(state, "filter")
    }
}

/// The mask with bad rows taken out.
fn without(mask: &BooleanArray, bad: &[(usize, Error)]) -> BooleanArray {
    if bad.is_empty() {
        return mask.clone();
    }
    let is_bad = |row: usize| bad.binary_search_by_key(&row, |(row, _)| *row).is_ok();
    (0..mask.len()).map(|row| Some(mask.is_valid(row) && mask.value(row) && !is_bad(row))).collect()
}

/// Refuses state for an operator that has none.
pub(crate) fn no_state(state: &mut dyn StateReader, operator: &str) -> Result<()> {
    match state.next()? {
        None => Ok(()),
        Some(_) => Err(Error::corrupt(format!("there is state for a {operator}, which has none"))),
    }
}
