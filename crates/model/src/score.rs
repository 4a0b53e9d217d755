//! A loaded model, and the scoring of batches through one of its outputs.

use crate::aggregate::{Aggregate, Labels};
use crate::node::{Checked, shown};
use crate::onnx::ModelProto;
use crate::plan::{Plan, Source};
use crate::samples::{Samples, read_input_names};
use crate::signature::{Output, OutputSelector, Signature};
use crate::trees::{BLOCK_ROWS, Block, Trees};
use crate::value::Calculation;
use crate::wire::check_budget;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use dataflow::{Error, Result, Scorer, ScorerInput};
use prost::Message;
use prost::bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// The largest model file that is read.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// The longest entry of ours in a file's metadata: JSON takes many times its length once parsed.
const METADATA_BYTES_MAX: usize = 8 << 20;

/// A model that passed all checks. Cheap to clone; clones share the trees.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    /// The model's name and file, as messages begin.
    place: String,
    name: String,
    version: String,
    declared_version: Option<i64>,
    signature: Signature,
    sources: Vec<Source>,
    ensembles: Vec<Ready>,
    samples: Option<Samples>,
}

/// An ensemble that is laid out for walking.
struct Ready {
    trees: Trees,
    aggregate: Aggregate,
    labels: Option<Labels>,
    /// The model's inputs that it is fed, in its own order.
    columns: Arc<[usize]>,
}

impl Model {
    /// Reads and checks a model's file. `name` is what the project calls it.
    pub fn load(name: &str, path: &Path) -> Result<Model> {
        let place = format!("model {name:?} ({})", path.display());
        let fail = |what: String| Error::invalid(format!("{place}: {what}"));
        let missing = |error| fail("the file cannot be opened".to_string()).with_source(error);
        // Before it is opened: opening a named pipe would wait for its other end.
        if !std::fs::metadata(path).map_err(missing)?.is_file() {
            return Err(fail("is not a file, expected an ONNX model".to_string()));
        }
        let file = File::open(path).map_err(missing)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fail("the file cannot be read".to_string()).with_source(error))?;
        Model::read(place.clone(), name, bytes).map_err(fail)
    }

    /// Checks a model that is in memory already.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Model> {
        let place = format!("model {name:?}");
        Model::read(place.clone(), name, bytes).map_err(|fault| Error::invalid(format!("{place}: {fault}")))
    }

    fn read(place: String, name: &str, bytes: Vec<u8>) -> Checked<Model> {
        check_file(&bytes)?;
        check_budget(&bytes)?;
        let version = format!("{:032x}", xxh3_128(&bytes));
        let proto = ModelProto::decode(Bytes::from(bytes))
            .map_err(|error| format!("the file is truncated or not an ONNX model: {error}"))?;
        let metadata = metadata(&proto)?;
        let input_names = metadata.get("riverrun.inputs").map(|text| read_input_names(text)).transpose()?;
        let plan = Plan::new(&proto, input_names)?;
        let inputs: Vec<ScorerInput> = plan.inputs.into_iter().map(|name| ScorerInput { name }).collect();
        let samples = metadata.get("riverrun.samples").map(|text| Samples::read(text, inputs.len())).transpose()?;
        let (outputs, sources) = plan.outputs.into_iter().unzip();
        let ensembles = plan.ensembles.into_iter().map(|fed| Ready {
            trees: Trees::new(&fed.ensemble.forest),
            aggregate: fed.ensemble.aggregate,
            labels: fed.ensemble.labels,
            columns: fed.columns,
        });
        let inner = Inner {
            place,
            name: name.to_string(),
            version,
            declared_version: Some(proto.model_version).filter(|version| *version != 0),
            signature: Signature { inputs, outputs },
            sources,
            ensembles: ensembles.collect(),
            samples,
        };
        Ok(Model { inner: Arc::new(inner) })
    }

    /// What the project calls the model.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The xxh3 digest of the file's bytes, 32 hexadecimal digits. Rows carry it.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// The version that the file states about itself, if it does.
    pub fn declared_version(&self) -> Option<i64> {
        self.inner.declared_version
    }

    /// What goes in and what comes out.
    pub fn signature(&self) -> &Signature {
        &self.inner.signature
    }

    /// What may be chosen, in the file's order.
    pub fn outputs(&self) -> &[Output] {
        &self.inner.signature.outputs
    }

    /// Chooses an output, and scores the file's sample rows through it (or through the output that they name): a score
    /// that is off by more than 1e-5 refuses the model.
    pub fn select(&self, selector: &OutputSelector) -> Result<OutputScorer> {
        let fail = |what: String| Error::invalid(format!("{}: {what}", self.inner.place));
        let output = self.inner.signature.find(selector).map_err(fail)?;
        let scorer = OutputScorer { model: self.clone(), output };
        if let Some(samples) = &self.inner.samples {
            scorer.check_samples(samples).map_err(fail)?;
        }
        Ok(scorer)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.inner.name).field("version", &self.inner.version).finish()
    }
}

/// Refuses what is plainly no model, saying what it is.
fn check_file(bytes: &[u8]) -> Checked<()> {
    if bytes.is_empty() {
        return Err("the file is empty, expected an ONNX model".to_string());
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return Err("the file is a Git LFS pointer, expected an ONNX model (run git lfs pull)".to_string());
    }
    Ok(())
}

/// The file's metadata by key. Only ours is looked at, and it is there once.
fn metadata(proto: &ModelProto) -> Checked<BTreeMap<&str, &str>> {
    let mut found = BTreeMap::new();
    for entry in proto.metadata_props.iter().filter(|entry| entry.key.starts_with("riverrun.")) {
        if !matches!(entry.key.as_str(), "riverrun.inputs" | "riverrun.samples") {
            let key = shown(&entry.key);
            return Err(format!("metadata {key} is unknown, expected riverrun.inputs or riverrun.samples"));
        }
        if entry.value.len() > METADATA_BYTES_MAX {
            return Err(format!("metadata {:?} is longer than {} MiB", entry.key, METADATA_BYTES_MAX >> 20));
        }
        if found.insert(entry.key.as_str(), entry.value.as_str()).is_some() {
            return Err(format!("metadata {:?} is there twice", entry.key));
        }
    }
    Ok(found)
}

/// A model with its output chosen. Scores batches; a score depends on its row alone.
#[derive(Clone, Debug)]
pub struct OutputScorer {
    model: Model,
    output: usize,
}

impl OutputScorer {
    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The output that was chosen.
    pub fn chosen(&self) -> &Output {
        &self.model.inner.signature.outputs[self.output]
    }

    fn check_samples(&self, samples: &Samples) -> Checked<()> {
        let outputs = self.model.outputs();
        let output = match &samples.output {
            None => self.output,
            Some(name) => outputs
                .iter()
                .position(|output| output.to_string() == *name)
                .ok_or_else(|| format!("metadata \"riverrun.samples\": the model has no output {}", shown(name)))?,
        };
        if outputs[output] == Output::Label {
            return Ok(());
        }
        let columns: Vec<Cow<[f32]>> = samples.columns.iter().map(|column| Cow::from(column.as_slice())).collect();
        let through = OutputScorer { model: self.model.clone(), output };
        let scores = through.score_columns(&columns, samples.scores.len());
        samples.compare(scores.as_primitive::<Float64Type>().iter())
    }

    fn ready(&self) -> &Ready {
        let (Source::Score { ensemble, .. } | Source::Label { ensemble }) = &self.model.inner.sources[self.output];
        &self.model.inner.ensembles[*ensemble]
    }

    /// Scores rows given as floats, NaN for a missing value. NULL where a score is not finite.
    fn score_columns(&self, columns: &[Cow<[f32]>], rows: usize) -> ArrayRef {
        let ready = self.ready();
        match &self.model.inner.sources[self.output] {
            Source::Score { index, then, .. } => {
                let mut scores: Vec<Option<f64>> = Vec::with_capacity(rows);
                ready.each_row(columns, rows, |row_scores, _| {
                    let score = calculate(row_scores[*index], then, *index);
                    scores.push(score.is_finite().then_some(f64::from(score)));
                });
                Arc::new(Float64Array::from(scores))
            }
            Source::Label { .. } => {
                let mut classes: Vec<Option<usize>> = Vec::with_capacity(rows);
                ready.each_row(columns, rows, |row_scores, class| {
                    classes.push(row_scores.iter().all(|score| score.is_finite()).then_some(class));
                });
                match &ready.labels {
                    Some(Labels::Ints(labels)) => {
                        Arc::new(classes.iter().map(|class| class.map(|class| labels[class])).collect::<Int64Array>())
                    }
                    Some(Labels::Texts(labels)) => {
                        let texts = classes.iter().map(|class| class.map(|class| labels[class].as_str()));
                        Arc::new(texts.collect::<StringArray>())
                    }
                    None => Arc::new(Int64Array::new_null(rows)),
                }
            }
        }
    }
}

fn calculate(score: f32, then: &[Calculation], index: usize) -> f32 {
    then.iter().fold(score, |score, calculation| calculation.apply(score, index))
}

impl Ready {
    /// Calls back for each row in order with its scores and the index of its class.
    fn each_row(&self, columns: &[Cow<[f32]>], rows: usize, mut found: impl FnMut(&[f32], usize)) {
        let targets = self.trees.targets();
        let mut block: Block = self.trees.block(rows);
        let mut sums = vec![0.0; targets * BLOCK_ROWS];
        let mut row_sums = vec![0.0; targets];
        let mut row_scores = vec![0.0; self.aggregate.scores(targets)];
        for from in (0..rows).step_by(BLOCK_ROWS) {
            let count = BLOCK_ROWS.min(rows - from);
            block.fill(self.columns.iter().map(|&column| columns[column].as_ref()), from, count);
            self.trees.sum(&block, &mut sums);
            for row in 0..count {
                for (target, sum) in row_sums.iter_mut().enumerate() {
                    *sum = sums[target * BLOCK_ROWS + row];
                }
                let class = self.aggregate.finish(&mut row_sums, &mut row_scores);
                found(&row_scores, class);
            }
        }
    }
}

impl Scorer for OutputScorer {
    fn inputs(&self) -> &[ScorerInput] {
        &self.model.inner.signature.inputs
    }

    fn output(&self) -> DataType {
        match (&self.model.inner.sources[self.output], &self.ready().labels) {
            (Source::Score { .. }, _) => DataType::Float64,
            (Source::Label { .. }, Some(Labels::Texts(_))) => DataType::Utf8,
            (Source::Label { .. }, _) => DataType::Int64,
        }
    }

    fn version(&self) -> &str {
        &self.model.inner.version
    }

    fn score(&self, inputs: &[ArrayRef]) -> Result<ArrayRef> {
        let expected = self.inputs();
        let fail = |what: String| Error::invalid(format!("{}: {what}", self.model.inner.place));
        if inputs.len() != expected.len() {
            return Err(fail(format!("{} input columns, expected {}", inputs.len(), expected.len())));
        }
        let rows = inputs.first().map_or(0, |column| column.len());
        let mut columns = Vec::with_capacity(inputs.len());
        for (at, (column, input)) in inputs.iter().zip(expected).enumerate() {
            let wrong = |what: String| match &input.name {
                Some(name) => fail(format!("input {} {what}", shown(name))),
                None => fail(format!("input {at} {what}")),
            };
            if column.len() != rows {
                return Err(wrong(format!("has {} rows, expected {rows} as the first input has", column.len())));
            }
            if !takes(column.data_type()) {
                return Err(wrong(format!("is {}, expected a number or a boolean", column.data_type())));
            }
            columns.push(floats(column)?);
        }
        Ok(self.score_columns(&columns, rows))
    }
}

/// Whether a column of a type can be an input.
fn takes(data_type: &DataType) -> bool {
    data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null)
}

/// The values of a column as the model takes them, NaN for NULL.
fn floats(column: &ArrayRef) -> Result<Cow<'_, [f32]>> {
    if let Some(column) = column.as_primitive_opt::<Float32Type>() {
        return Ok(match column.null_count() {
            0 => Cow::from(column.values().as_ref()),
            _ => Cow::from(column.iter().map(|value| value.unwrap_or(f32::NAN)).collect::<Vec<f32>>()),
        });
    }
    if let Some(column) = column.as_primitive_opt::<Float64Type>() {
        return Ok(Cow::from(match column.null_count() {
            0 => column.values().iter().map(|value| *value as f32).collect::<Vec<f32>>(),
            _ => column.iter().map(|value| value.map_or(f32::NAN, |value| value as f32)).collect(),
        }));
    }
    let column = cast(column, &DataType::Float32)?;
    let column = column.as_primitive::<Float32Type>();
    Ok(Cow::from(column.iter().map(|value| value.unwrap_or(f32::NAN)).collect::<Vec<f32>>()))
}
