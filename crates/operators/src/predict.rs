//! Scores rows with models.

use crate::bad_rows::{BadRows, by_row, good_rows};
use crate::filter::no_state;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Scalar, Scorer,
    StateReader,
};
use std::sync::Arc;

/// What is scored.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The scores, with the columns that each puts out.
    pub scores: Vec<Score>,
}

/// A score of a model.
#[derive(Clone, Debug)]
pub struct Score {
    /// What is put out of it, and the name of each column.
    pub columns: Vec<(Part, String)>,
    /// The name of the model.
    pub model: String,
    /// The model.
    pub scorer: Arc<dyn Scorer>,
    /// Its inputs in its order, with their names.
    pub inputs: Vec<(String, Arc<dyn Scalar>)>,
}

/// What is told of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The score, NULL where the model fails; a struct of several, each NULL where the model fails to give it.
    Score,
    /// The version of the model that scored the row, or failed on it.
    Version,
    /// Why there is no score; NULL where there is one.
    Fault,
}

impl Score {
    /// The type of a part.
    pub fn data_type(&self, part: Part) -> DataType {
        match part {
            Part::Score => self.scorer.output(),
            Part::Version | Part::Fault => DataType::Utf8,
        }
    }

    /// The columns that are put out for the scores of some rows.
    fn parts(&self, scores: &ArrayRef, inputs: &[ArrayRef]) -> Vec<ArrayRef> {
        let part = |part: Part| -> ArrayRef {
            match part {
                Part::Score => scores.clone(),
                Part::Version => {
                    let version = std::iter::repeat_n(self.scorer.version(), scores.len());
                    Arc::new(StringArray::from_iter_values(version))
                }
                Part::Fault => {
                    let present = present(scores);
                    let is_failed = |row| present.as_ref().is_some_and(|present| present.is_null(row));
                    let fault = |row| is_failed(row).then(|| self.fault(row, scores, inputs));
                    Arc::new((0..scores.len()).map(fault).collect::<StringArray>())
                }
            }
        };
        self.columns.iter().map(|(of, _)| part(*of)).collect()
    }

    /// Why a row has no score, or lacks one of several, as far as its inputs tell.
    fn fault(&self, row: usize, scores: &ArrayRef, inputs: &[ArrayRef]) -> String {
        let names = self.inputs.iter().map(|(name, _)| name.as_str()).zip(inputs);
        let null: Vec<&str> = names.filter(|(_, values)| values.is_null(row)).map(|(name, _)| name).collect();
        let mut told = format!("model \"{}\" gives no finite number", self.model);
        if let Some(all) = scores.as_struct_opt() {
            let fields = all.column_names().into_iter().zip(all.columns());
            let missing: Vec<&str> = fields.filter(|(_, of)| of.is_null(row)).map(|(name, _)| name).collect();
            told += &format!(" for {}", missing.join(", "));
        }
        if !null.is_empty() {
            told += &format!("; NULL: {}", null.join(", "));
        }
        for (((name, _), values), input) in self.inputs.iter().zip(inputs).zip(self.scorer.inputs()) {
            if let (Some(expected), Some(found)) = (input.list, length(values, row))
                && expected != found
            {
                told += &format!("; \"{name}\" has {found} values, expected {expected}");
            }
        }
        told
    }
}

/// The rows that have a score, and all of several; `None` where no row lacks one.
fn present(scores: &ArrayRef) -> Option<NullBuffer> {
    let Some(all) = scores.as_struct_opt() else { return scores.nulls().cloned() };
    all.columns().iter().fold(all.nulls().cloned(), |rows, of| NullBuffer::union(rows.as_ref(), of.nulls()))
}

/// How many values the list of a row has, in a column of lists of values or of such lists as texts.
fn length(lists: &ArrayRef, row: usize) -> Option<usize> {
    if let Some(texts) = lists.as_string_opt::<i32>().filter(|texts| texts.is_valid(row)) {
        let text = texts.value(row).trim();
        return Some(if text.starts_with('[') { text.matches(',').count() + 1 } else { 0 });
    }
    let lists = lists.as_list_opt::<i32>().filter(|lists| lists.is_valid(row))?;
    if lists.values().data_type().is_nested() { None } else { usize::try_from(lists.value_length(row)).ok() }
}

/// The columns of the input, then those of each score.
pub fn output_schema(input: &SchemaRef, spec: &Spec) -> SchemaRef {
    let field = |score: &Score, part: Part, name: &str| {
        Arc::new(Field::new(name, score.data_type(part), part != Part::Version))
    };
    let scores =
        spec.scores.iter().flat_map(|score| score.columns.iter().map(move |(part, name)| (score, *part, name)));
    let scores = scores.map(|(score, part, name)| field(score, part, name));
    Arc::new(Schema::new(input.fields().iter().cloned().chain(scores).collect::<Vec<_>>()))
}

/// Puts out each row with its scores, at once and in the order of the rows; time, order and lateness stay.
///
/// A row on which an input fails is bad and follows the policy of its stream. Where the model itself fails the score is
/// NULL, which is counted, the fault says why, and the row goes on. No state.
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
                let name = &score.model;
                return Err(Error::internal(format!("model \"{name}\" has {found} inputs, expected {expected}")));
            }
        }
        Ok(Predict { schema: output_schema(input, &spec), spec, bad_rows })
    }

    /// The inputs of every score, and the rows on which one of them fails.
    fn inputs(&self, batch: &Batch) -> Result<(Inputs, Vec<(usize, Error)>)> {
        let (mut all, mut bad) = (Vec::with_capacity(self.spec.scores.len()), Vec::new());
        for score in &self.spec.scores {
            let mut inputs = Vec::with_capacity(score.inputs.len());
            for (_, input) in &score.inputs {
                let evaluated = input.evaluate(batch)?;
                let named = |error: Error| error.context(format!("model \"{}\"", score.model));
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
            faults += present(&values).map_or(0, |present| present.null_count());
            columns.extend(score.parts(&values, inputs));
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
