//! TESTs: a job whose streams are the rows that were given, and what its outputs should hold.

use crate::Begin;
use crate::collected_rows::Rows;
use crate::declared_columns::declared_rows;
use crate::failure::Failure;
use crate::job::{CollectedRun, JobOptions, Wired};
use crate::open::Project;
use crate::stream_input::stream_spec;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StructArray, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use dataflow::{Batch, Error, MemoryFiles, Result, Scorer, ScorerInput, ScorerValue, TimedFile, TimedFiles};
use seam::StreamInput;
use sql::statement::ModelOutput;
use sql::{BoundExpect, Catalog, ExpectedRows, GivenRows, Statements, StoredTable, Stream, Target, Test, statement};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A TEST that is ready to run.
pub struct TestJob {
    /// Its job; the inputs end with a final watermark.
    pub wired: Wired,
    /// What should come out.
    pub expected: ExpectedOutputs,
}

/// What the outputs of a TEST should hold.
pub struct ExpectedOutputs {
    expects: Vec<BoundExpect>,
    rows: BTreeMap<String, (SchemaRef, Rows)>,
    path: String,
}

impl Project {
    /// Plans a TEST and wires it to the rows that it gives. `statements` are those of pipelines and tests together.
    /// The job goes on from an earlier run of the same, if there is one.
    pub fn test_job(
        &self,
        statements: &Statements,
        test: &Test,
        earlier: Option<CollectedRun>,
    ) -> Result<TestJob, Failure> {
        let catalog = TestCatalog { project: self, scores: &test.scores };
        let checked = sql::check(statements, &catalog, &Target::Collect(test.targets()))?;
        let bound = checked.bind_test(test)?;
        let mut inputs = Vec::new();
        for stream in &checked.streams {
            let given = bound.givens.iter().filter(|given| given.stream.eq_ignore_ascii_case(&stream.name));
            let history = Some(Arc::new(given_files(stream, &test.path, given)?) as Arc<dyn TimedFiles>);
            inputs.push(StreamInput { spec: stream_spec(stream), history, history_frontier: None, live: None });
        }
        let options = JobOptions { until_caught_up: true, begin: Begin::Collect, earlier, ..JobOptions::default() };
        let wired = self.wire(&checked, inputs, &options, None)?;
        let rows = wired.sinks.iter().zip(&wired.collected).map(|(sink, rows)| {
            let schema = checked.outputs.iter().find(|spec| spec.output == sink.output).map(|spec| spec.schema.clone());
            (sink.name.clone(), (schema.unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty())), rows.clone()))
        });
        let expected = ExpectedOutputs { expects: bound.expects, rows: rows.collect(), path: test.path.clone() };
        Ok(TestJob { wired, expected })
    }
}

/// What did not come out as a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// What it is: the expectation with its place, and a row.
    pub text: String,
    /// How many more rows are so, after the last of them that is shown.
    pub more: usize,
}

/// For so many missing rows the nearest of the output is looked for: each takes a look at all.
const NEAREST_MAX: usize = 10;

impl ExpectedOutputs {
    /// What did not come out as it should, with so many rows of each kind at most; none when the test holds.
    pub fn failures(&self, rows_max: usize) -> Result<Vec<Unmet>> {
        let mut failures = Vec::new();
        let mut outputs = BTreeMap::new();
        for (name, (schema, rows)) in &self.rows {
            outputs.insert(name.clone(), dataflow::concat(schema, &rows.take())?.sorted()?);
        }
        for expect in &self.expects {
            let output = outputs.iter().find(|(name, _)| name.eq_ignore_ascii_case(&expect.target));
            let Some((_, output)) = output else {
                return Err(Error::internal(format!("the test has no output {}", expect.target)));
            };
            let at = format!("{}:{}: {}", self.path, expect.line, expect.target);
            let at_expect = |unmet: Unmet| Unmet { text: format!("{at}: {}", unmet.text), ..unmet };
            failures.extend(unmet(&expect.rows, output, rows_max)?.into_iter().map(at_expect));
        }
        Ok(failures)
    }
}

fn unmet(expected: &ExpectedRows, output: &Batch, rows_max: usize) -> Result<Vec<Unmet>> {
    let missing_rows = |missing: &[usize], rows: &RecordBatch, found: &RecordBatch| {
        some_of(missing, rows_max, "no row", |at, row| {
            let near = if at < NEAREST_MAX { nearest(rows, row, found)? } else { String::new() };
            Ok(format!("{}{near}", text(rows, row)?))
        })
    };
    let unexpected_rows = |unexpected: &[usize], found: &RecordBatch| {
        some_of(unexpected, rows_max, "unexpected row", |_, row| text(found, row))
    };
    match expected {
        ExpectedRows::Among { columns, rows } => {
            let found = output.columns().project(columns)?;
            let (missing, _) = difference(rows, &found)?;
            missing_rows(&missing, rows, &found)
        }
        ExpectedRows::Exactly { columns, rows } => {
            let found = output.columns().project(columns)?;
            let (missing, extra) = difference(rows, &found)?;
            let mut unmet = missing_rows(&missing, rows, &found)?;
            unmet.extend(unexpected_rows(&extra, &found)?);
            Ok(unmet)
        }
        ExpectedRows::None { condition } => {
            let rows: Vec<usize> = match condition {
                None => (0..output.rows()).collect(),
                Some((scalar, _)) => {
                    let values = scalar.evaluate(output)?.values;
                    let values = values.as_boolean();
                    (0..output.rows())
                        .filter(|&row| !arrow::array::Array::is_null(values, row) && values.value(row))
                        .collect()
                }
            };
            unexpected_rows(&rows, output.columns())
        }
    }
}

/// The first of some rows, and how many more there are.
fn some_of(
    rows: &[usize],
    rows_max: usize,
    what: &str,
    mut text: impl FnMut(usize, usize) -> Result<String>,
) -> Result<Vec<Unmet>> {
    let shown = rows.iter().take(rows_max).enumerate();
    let mut some = shown
        .map(|(at, &row)| Ok(Unmet { text: format!("{what} {}", text(at, row)?), more: 0 }))
        .collect::<Result<Vec<_>>>()?;
    if let (Some(last), more @ 1..) = (some.last_mut(), rows.len().saturating_sub(rows_max)) {
        last.more = more;
    }
    Ok(some)
}

/// Rows of the first that the second lacks, and of the second that the first lacks, as multisets.
fn difference(expected: &RecordBatch, found: &RecordBatch) -> Result<(Vec<usize>, Vec<usize>)> {
    let fields = expected.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let cast = |(column, like): (&ArrayRef, &ArrayRef)| arrow::compute::cast(column, like.data_type());
    let found: Vec<ArrayRef> =
        found.columns().iter().zip(expected.columns()).map(cast).collect::<Result<_, arrow::error::ArrowError>>()?;
    let (wanted, there) = (converter.convert_columns(expected.columns())?, converter.convert_columns(&found)?);
    let mut by_row: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (row, key) in there.iter().enumerate().rev() {
        by_row.entry(key.owned()).or_default().push(row);
    }
    let mut missing = Vec::new();
    for (row, key) in wanted.iter().enumerate() {
        if by_row.get_mut(&key.owned()).and_then(Vec::pop).is_none() {
            missing.push(row);
        }
    }
    let mut extra: Vec<usize> = by_row.into_values().flatten().collect();
    extra.sort_unstable();
    Ok((missing, extra))
}

fn cells(batch: &RecordBatch, row: usize) -> Result<Vec<String>> {
    let cell = |column: &ArrayRef| {
        let text = values::texts(&column.slice(row, 1))?;
        let text = text.as_string::<i32>();
        Ok(if text.is_null(0) { "NULL".to_owned() } else { text.value(0).to_owned() })
    };
    batch.columns().iter().map(cell).collect()
}

fn text(batch: &RecordBatch, row: usize) -> Result<String> {
    let schema = batch.schema();
    let named =
        cells(batch, row)?.into_iter().zip(schema.fields()).map(|(cell, field)| format!("{}={cell}", field.name()));
    Ok(format!("({})", named.collect::<Vec<_>>().join(", ")))
}

/// The row of the output that agrees with an expected one in the most columns.
fn nearest(expected: &RecordBatch, row: usize, found: &RecordBatch) -> Result<String> {
    let wanted = cells(expected, row)?;
    let mut best: Option<(usize, usize)> = None;
    for other in 0..found.num_rows() {
        let alike = cells(found, other)?.iter().zip(&wanted).filter(|(a, b)| a == b).count();
        if best.is_none_or(|(most, _)| alike > most) {
            best = Some((alike, other));
        }
    }
    Ok(match best {
        None => "; there is no row at all".to_owned(),
        Some((_, other)) => format!("; the nearest is {}", text(found, other)?),
    })
}

/// The project's catalog, with models that give one score.
struct TestCatalog<'a> {
    project: &'a Project,
    scores: &'a [(String, f64)],
}

impl Catalog for TestCatalog<'_> {
    fn table_schema(&self, table: &str) -> Result<SchemaRef> {
        self.project.table_schema(table)
    }

    fn files_schema(&self, pattern: &str, encoding: values::Encoding) -> Result<SchemaRef> {
        self.project.files_schema(pattern, encoding)
    }

    fn stored_table(&self, table: &str) -> Result<StoredTable> {
        self.project.stored_table(table)
    }

    fn scorer(&self, model: &statement::Model) -> Result<Arc<dyn Scorer>> {
        let fixed = self.scores.iter().find(|(name, _)| name.eq_ignore_ascii_case(&model.name.text));
        match (fixed, &model.inputs) {
            (Some((_, score)), Some(inputs)) => {
                let inputs =
                    inputs.iter().map(|name| ScorerInput::one(Some(name.text.clone()), ScorerValue::Any)).collect();
                let output = match model.output {
                    // Without OUTPUT the file says what it gives, if it is there already.
                    ModelOutput::Only => self.project.scorer(model).map(|scorer| scorer.output()).ok(),
                    _ => None,
                };
                let output = given_type(output.unwrap_or(DataType::Float64));
                Ok(Arc::new(FixedScorer { score: *score, inputs, output }))
            }
            (Some((_, score)), None) => {
                let scorer = self.project.scorer(model)?;
                Ok(Arc::new(FixedScorer {
                    score: *score,
                    inputs: scorer.inputs().to_vec(),
                    output: given_type(scorer.output()),
                }))
            }
            (None, _) => self.project.scorer(model),
        }
    }
}

/// A score that is given is a number, whatever output is chosen; a struct keeps its fields.
fn given_type(output: DataType) -> DataType {
    match output {
        DataType::Struct(fields) => DataType::Struct(fields),
        _ => DataType::Float64,
    }
}

/// `GIVEN MODEL m SCORES x`. Where the model gives a struct, every number with a fraction in it is x, and the rest NULL.
#[derive(Debug)]
struct FixedScorer {
    score: f64,
    inputs: Vec<ScorerInput>,
    output: DataType,
}

impl Scorer for FixedScorer {
    fn inputs(&self) -> &[ScorerInput] {
        &self.inputs
    }

    fn output(&self) -> DataType {
        self.output.clone()
    }

    fn version(&self) -> &str {
        "given"
    }

    fn score(&self, inputs: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = inputs.first().map_or(0, |column| column.len());
        let scores = |of: &DataType| -> ArrayRef {
            match of {
                DataType::Float64 => Arc::new(Float64Array::from(vec![self.score; rows])),
                other => new_null_array(other, rows),
            }
        };
        Ok(match &self.output {
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| scores(field.data_type())).collect();
                Arc::new(StructArray::try_new(fields.clone(), columns, None)?)
            }
            other => scores(other),
        })
    }
}

/// Rows of a test as the files of a history, which tell of those that cannot be used.
fn given_files<'g>(stream: &Stream, path: &str, givens: impl Iterator<Item = &'g GivenRows>) -> Result<MemoryFiles> {
    let schema = declared_rows(stream, &RecordBatch::new_empty(stream.raw.clone()))?.schema();
    let mut files = Vec::new();
    for given in givens {
        let rows = declared_rows(stream, &given.rows)?;
        let place = format!("{path}:{}:{} (GIVEN {})", given.line, given.column, stream.name);
        let (count, bytes) = (rows.num_rows() as u64, rows.get_array_memory_size() as u64);
        files.push((TimedFile::of_one_group(place, count, bytes, Vec::new()), vec![rows]));
    }
    Ok(MemoryFiles::new(format!("GIVEN {}", stream.name), schema, files))
}
