//! A plan as rows.

use crate::answer;
use crate::group::{Group, Source, Spec};
use crate::join;
use crate::plan::{Join, Plan};
use crate::simple::{Limit, passing, project, with_columns};
use crate::sort::Sort;
use crate::spill::{RunWriter, Spill, bytes_of};
use crate::stop::StopCheck;
use arrow::array::RecordBatch;
use dataflow::{Error, RecordBatches, Result};
use std::collections::VecDeque;
use std::path::PathBuf;

/// What a plan may use.
#[derive(Clone, Debug)]
pub struct Resources {
    /// How many bytes all of its steps together hold in memory, about.
    pub memory_bytes: usize,
    /// Where files of rows are made that go beyond that.
    pub folder: PathBuf,
    /// Whether the answer is still wanted.
    pub stop: StopCheck,
}

/// The rows of a plan over the rows of its inputs, pulled from them as they are asked for.
pub fn run(plan: &Plan, inputs: Vec<RecordBatches>, resources: &Resources) -> Result<RecordBatches> {
    let memory = resources.memory_bytes / plan.holding().max(1);
    let spill = Spill::new(resources.folder.clone(), resources.stop.clone());
    let inputs = inputs.into_iter().map(|rows| Some(resources.stop.watch(rows))).collect();
    Steps { inputs, memory, spill }.rows(plan)
}

/// Takes all rows, and gives them out again: what does not fit in memory lies in a file meanwhile.
pub fn put_down(rows: RecordBatches, resources: &Resources) -> Result<RecordBatches> {
    let (mut held, mut bytes) = (Vec::new(), 0);
    let mut file: Option<RunWriter> = None;
    for rows in resources.stop.watch(rows) {
        let rows = rows?;
        bytes += bytes_of(&rows);
        match &mut file {
            Some(file) => file.write(&rows)?,
            None if bytes <= resources.memory_bytes => held.push(rows),
            none => {
                let spill = Spill::new(resources.folder.clone(), resources.stop.clone());
                none.insert(spill.writer(&rows.schema())?).write(&rows)?;
            }
        }
    }
    let held = held.into_iter().map(Ok);
    match file {
        None => Ok(Box::new(held)),
        Some(file) => Ok(Box::new(held.chain(file.finish()?.read()?))),
    }
}

struct Steps {
    /// The inputs that no step has taken yet.
    inputs: Vec<Option<RecordBatches>>,
    /// For each step that holds rows.
    memory: usize,
    spill: Spill,
}

impl Steps {
    fn rows(&mut self, plan: &Plan) -> Result<RecordBatches> {
        match plan {
            Plan::Input { input, .. } => {
                let rows = self.inputs.get_mut(*input).and_then(Option::take);
                rows.ok_or_else(|| Error::internal(format!("input {input} of a query is not there, or taken twice")))
            }
            Plan::Filter { from, condition } => {
                let condition = condition.clone();
                Ok(Box::new(self.rows(from)?.map(move |rows| passing(&condition, &rows?))))
            }
            Plan::Project { from, columns } => {
                let (columns, schema) = (columns.clone(), plan.schema()?);
                Ok(Box::new(self.rows(from)?.map(move |rows| project(&columns, &schema, &rows?))))
            }
            Plan::Group { from, keys, aggregates } => {
                let spec = Spec {
                    input: from.schema()?,
                    output: plan.schema()?,
                    keys: keys.clone(),
                    aggregates: aggregates.clone(),
                    memory: self.memory,
                    spill: self.spill.clone(),
                };
                let waiting = vec![(Source::Input(self.rows(from)?), 0)];
                Ok(Box::new(Group { spec, waiting, ready: VecDeque::new() }))
            }
            Plan::Sort { from, keys, limit } => {
                let (memory, spill) = (self.memory, self.spill.clone());
                let sort = Sort { schema: from.schema()?, keys: keys.clone(), limit: *limit, memory, spill };
                let rows = self.rows(from)?;
                Ok(later(move || sort.run(rows)))
            }
            Plan::Limit { from, offset, limit } => {
                let rows = self.rows(from)?;
                Ok(Box::new(Limit { rows, offset: *offset, left: limit.unwrap_or(usize::MAX) }))
            }
            Plan::Union(sides) => {
                let schema = plan.schema()?;
                let sides = sides.iter().map(|side| self.rows(side)).collect::<Result<Vec<_>>>()?;
                let alike = move |rows: Result<RecordBatch>| {
                    let rows = rows?;
                    with_columns(&schema, rows.columns().to_vec(), rows.num_rows())
                };
                Ok(Box::new(sides.into_iter().flatten().map(alike)))
            }
            Plan::Join(join) => self.join(join, plan),
            Plan::Answered(answered) => {
                let spec = answer::Spec {
                    input: answered.from.schema()?,
                    output: plan.schema()?,
                    values: answered.query.schema()?,
                    answer: answered.answer,
                    memory: self.memory,
                    spill: self.spill.clone(),
                };
                let (rows, of_query) = (self.rows(&answered.from)?, self.rows(&answered.query)?);
                Ok(later(move || answer::answered(spec, rows, of_query)))
            }
        }
    }

    fn join(&mut self, join: &Join, plan: &Plan) -> Result<RecordBatches> {
        let spec = join::Spec {
            left: join.left.schema()?,
            right: join.right.schema()?,
            output: plan.schema()?,
            keys: join.keys.clone(),
            condition: join.condition.clone(),
            keeps_left: join.keeps_left,
            keeps_right: join.keeps_right,
            memory: self.memory,
            spill: self.spill.clone(),
        };
        let (left, right) = (self.rows(&join.left)?, self.rows(&join.right)?);
        Ok(later(move || join::join(spec, left, right)))
    }
}

/// Rows whose step begins when the first of them is asked for.
struct Later<F> {
    begin: Option<F>,
    rows: Option<RecordBatches>,
}

fn later<F: FnOnce() -> Result<RecordBatches> + Send + 'static>(begin: F) -> RecordBatches {
    Box::new(Later { begin: Some(begin), rows: None })
}

impl<F: FnOnce() -> Result<RecordBatches> + Send> Iterator for Later<F> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(begin) = self.begin.take() {
            match begin() {
                Ok(rows) => self.rows = Some(rows),
                Err(error) => return Some(Err(error)),
            }
        }
        self.rows.as_mut()?.next()
    }
}
