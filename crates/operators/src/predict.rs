//! Scores rows with models.

use crate::bad_rows::{BadRows, by_row, good_rows};
use crate::columns::shown_name;
use crate::filter::no_state;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Scalar, Scorer,
    StateReader,
};
use std::sync::Arc;

/// What is scored.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The scores, one column each.
    pub scores: Vec<Score>,
}

/// A score of a model.
#[derive(Clone, Debug)]
pub struct Score {
    /// The name of the output column.
    pub name: String,
    /// The model.
    pub scorer: Arc<dyn Scorer>,
    /// Its inputs in its order.
    pub inputs: Vec<Arc<dyn Scalar>>,
}

/// The columns of the input, then one per score.
pub fn output_schema(input: &SchemaRef, spec: &Spec) -> SchemaRef {
    let scores = spec.scores.iter().map(|score| Arc::new(Field::new(&score.name, score.scorer.output(), true)));
    Arc::new(Schema::new(input.fields().iter().cloned().chain(scores).collect::<Vec<_>>()))
}

/// Puts out each row with its scores, at once and in the order of the rows; time, order and lateness stay.
///
/// A row on which an input fails is bad and follows the policy of its stream. Where the model itself fails the score is
/// NULL, which is counted, and the row goes on. No state.
#[derive(Debug)]
pub struct Predict {
    schema: SchemaRef,
    spec: Spec,
    bad_rows: BadRows,
}

/// The inputs of each score, a column each.
type Inputs = Vec<Vec<ArrayRef>>;

impl Predict {
    /// Scores rows with the columns of a schema.
    pub fn new(input: &SchemaRef, spec: Spec, bad_rows: BadRows) -> Result<Predict> {
        for score in &spec.scores {
            let (expected, found) = (score.scorer.inputs().len(), score.inputs.len());
            if expected != found {
                let name = &score.name;
                return Err(Error::internal(format!("score \"{name}\" has {found} inputs, expected {expected}")));
            }
        }
        Ok(Predict { schema: output_schema(input, &spec), spec, bad_rows })
    }

    /// The inputs of every score, and the rows on which one of them fails.
    fn inputs(&self, batch: &Batch) -> Result<(Inputs, Vec<(usize, Error)>)> {
        let (mut all, mut bad) = (Vec::with_capacity(self.spec.scores.len()), Vec::new());
        for score in &self.spec.scores {
            let mut inputs = Vec::with_capacity(score.inputs.len());
            for input in &score.inputs {
                let evaluated = input.evaluate(batch)?;
                let named = |error: Error| error.context(format!("column \"{}\"", shown_name(&score.name)));
                bad.extend(evaluated.failed.into_iter().map(|(row, error)| (row, named(error))));
                inputs.push(evaluated.values);
            }
            all.push(inputs);
        }
        Ok((all, by_row(bad)))
    }

    /// Rows whose inputs do not fail, with their scores, and how many scores the models failed to give.
    fn score(&self, batch: &Batch, inputs: &[Vec<ArrayRef>]) -> Result<(Batch, usize)> {
        let mut columns = batch.columns().columns().to_vec();
        let mut faults = 0;
        for (score, inputs) in self.spec.scores.iter().zip(inputs) {
            let values = score.scorer.score(inputs)?;
            faults += values.null_count();
            columns.push(values);
        }
        Ok((batch.with_columns(RecordBatch::try_new(self.schema.clone(), columns)?)?, faults))
    }
}

impl Operator for Predict {
    fn process(&mut self, _: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        let (inputs, bad) = self.inputs(batch)?;
        let (scored, faults) = if bad.is_empty() {
            self.score(batch, &inputs)?
        } else {
            let good = batch.take(&good_rows(batch.rows(), &bad))?;
            let (inputs, bad_again) = self.inputs(&good)?;
            if !bad_again.is_empty() {
                return Err(Error::internal("an expression fails on a row only beside certain other rows"));
            }
            self.score(&good, &inputs)?
        };
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Out, scored.rows());
        cx.count(Fate::ScoreFailed, faults);
        cx.emit(Port::MAIN, scored);
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
        no_state(state, "model")
    }
}
