//! Keeps the rows for which a condition is true.

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Scalar, StateReader,
};
use std::sync::Arc;

/// Puts out the rows for which a condition is true, at once and in their order.
///
/// False and NULL rows are counted as filtered. A row on which the condition fails is bad: it goes to the dead letter
/// port. No state.
#[derive(Debug)]
pub struct Filter {
    predicate: Arc<dyn Scalar>,
}

impl Filter {
    /// Filters by a boolean expression.
    pub fn new(predicate: Arc<dyn Scalar>) -> Result<Filter> {
        match predicate.data_type() {
            DataType::Boolean => Ok(Filter { predicate }),
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
        let bad: Vec<usize> = evaluated.failed.iter().map(|(row, _)| *row).collect();
        let kept = batch.filter(&without(mask, &bad))?;
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Out, kept.rows());
        cx.count(Fate::Filtered, batch.rows() - kept.rows() - bad.len());
        cx.emit(Port::MAIN, kept);
        dead_letter(batch, &bad, cx)?;
        Ok(Progress::Done)
    }

    fn advance(&mut self, _: EventTime, _: &mut Context) -> Result<Progress> {
        Ok(Progress::Done)
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        Ok(Arc::new(()))
    }

    fn restore(&mut self, state: &mut dyn StateReader, _: &mut Context) -> Result<()> {
        no_state(state, "filter")
    }
}

/// The mask with bad rows taken out.
fn without(mask: &BooleanArray, bad: &[usize]) -> BooleanArray {
    if bad.is_empty() {
        return mask.clone();
    }
    (0..mask.len()).map(|row| Some(mask.is_valid(row) && mask.value(row) && bad.binary_search(&row).is_err())).collect()
}

/// Counts bad rows and puts them out as they came in.
pub(crate) fn dead_letter(batch: &Batch, bad: &[usize], cx: &mut Context) -> Result<()> {
    if !bad.is_empty() {
        cx.count(Fate::Bad, bad.len());
        let rows: Vec<u32> = bad.iter().map(|&row| row as u32).collect();
        cx.emit(Port::DEAD_LETTER, batch.take(&rows)?);
    }
    Ok(())
}

/// Refuses state for an operator that has none.
pub(crate) fn no_state(state: &mut dyn StateReader, operator: &str) -> Result<()> {
    match state.next()? {
        None => Ok(()),
        Some(_) => Err(Error::corrupt(format!("there is state for a {operator}, which has none"))),
    }
}
