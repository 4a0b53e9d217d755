//! A loaded model, and the scoring of batches through one of its outputs.

use crate::file::ModelFile;
use crate::graph::Graph;
use crate::node::{Checked, shown};
use crate::onnx::ModelProto;
use crate::outputs::Column;
use crate::program::{Input, Program};
use crate::samples::{Samples, read_input_names};
use crate::signature::{Output, OutputSelector, Signature};
use crate::wire::check_budget;
use arrow::array::{Array, ArrayRef, AsArray, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use dataflow::{Error, Result, Scorer, ScorerInput, ScorerValue};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The longest entry of ours in a file's metadata: JSON takes many times its length once parsed.
const METADATA_BYTES_MAX: usize = 8 << 20;

/// A model that passed all checks. Cheap to clone; clones share the weights.
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
    columns: Vec<Column>,
    program: Program,
    operators: Vec<String>,
    samples: Option<Samples>,
}

impl Model {
    /// Reads and checks a model's file. `name` is what the project calls it.
    pub fn load(name: &str, path: &Path) -> Result<Model> {
        Model::from_file(ModelFile::read(name, path)?)
    }

    /// Checks a model that is in memory already.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Model> {
        Model::from_file(ModelFile::from_bytes(name, bytes)?)
    }

    /// Checks the model of a file that was read.
    pub fn from_file(file: ModelFile) -> Result<Model> {
        let place = file.place.clone();
        Model::read(file).map_err(|fault| Error::invalid(format!("{place}: {fault}")))
    }

    fn read(file: ModelFile) -> Checked<Model> {
        let ModelFile { place, name, version, bytes } = file;
        check_budget(&bytes)?;
        let proto = ModelProto::decode(Bytes::from(bytes))
            .map_err(|error| format!("the file is truncated or not an ONNX model: {error}"))?;
        let metadata = metadata(&proto)?;
        let input_names = metadata.get("riverrun.inputs").map(|text| read_input_names(text)).transpose()?;
        let graph = Graph::new(&proto, input_names)?;
        let named = graph.names.into_iter().zip(&graph.features);
        let inputs: Vec<ScorerInput> = named.map(|(name, feature)| feature.input(name)).collect();
        let samples = metadata.get("riverrun.samples").map(|text| Samples::read(text, inputs.len())).transpose()?;
        let (outputs, columns) = graph.outputs.into_iter().unzip();
        let inner = Inner {
            place,
            name,
            version,
            declared_version: Some(proto.model_version).filter(|version| *version != 0),
            signature: Signature { inputs, outputs },
            columns,
            program: Program::new(graph.program, graph.features),
            operators: graph.operators,
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

    /// The operators that the graph has, each once.
    pub fn operators(&self) -> &[String] {
        &self.inner.operators
    }

    /// How many elementary calculations a row takes, about.
    pub fn cost(&self) -> u64 {
        self.inner.program.cost()
    }

    /// Rows to try the model out with, as columns of the types that it takes, some values missing.
    pub fn probe(&self, rows: usize) -> Vec<ArrayRef> {
        self.inner.program.probe(rows)
    }

    /// Chooses an output, and scores the file's sample rows through it (or through the output that they name): a score
    /// that is off by more than 1e-5, or by that share of it, refuses the model. Where nothing is chosen and there are several, all are.
    pub fn select(&self, selector: &OutputSelector) -> Result<OutputScorer> {
        if *selector == OutputSelector::Only && self.outputs().len() > 1 {
            return self.select_all();
        }
        let output = self.inner.signature.find(selector).map_err(|what| self.fault(&what))?;
        self.scorer(Chosen::One(output))
    }

    /// Chooses all outputs at once: each row gets a struct with a field for each.
    pub fn select_all(&self) -> Result<OutputScorer> {
        self.scorer(Chosen::All)
    }

    fn scorer(&self, chosen: Chosen) -> Result<OutputScorer> {
        let scorer = OutputScorer { model: self.clone(), chosen };
        if let Some(samples) = &self.inner.samples {
            scorer.check_samples(samples).map_err(|what| self.fault(&what))?;
        }
        Ok(scorer)
    }

    /// The output whose scores the file's sample rows have: the one that the file names, or else the first that gives
    /// them. None without sample rows.
    pub fn sampled_output(&self) -> Result<Option<&Output>> {
        let Some(samples) = &self.inner.samples else { return Ok(None) };
        let output = match &samples.output {
            Some(name) => self.named(name).map(Some),
            None => self.sampled(samples),
        };
        Ok(output.map_err(|what| self.fault(&what))?.and_then(|output| self.outputs().get(output)))
    }

    /// The place of the output that sample rows name.
    fn named(&self, name: &str) -> Checked<usize> {
        let signature = self.signature();
        let is_named = |output: &Output| output.to_string() == name || signature.name(output) == name;
        self.outputs().iter().position(is_named).ok_or_else(|| {
            let all = signature.list();
            format!("metadata \"riverrun.samples\": the model has no output {}, expected one of: {all}", shown(name))
        })
    }

    /// The first output that gives the scores of sample rows; otherwise what the first of all gives instead. None where
    /// no output is a score.
    fn sampled(&self, samples: &Samples) -> Checked<Option<usize>> {
        let is_score =
            |output: &usize| self.outputs()[*output] != Output::Label && self.inner.columns[*output].element.is_real();
        let mut wrong = None;
        for output in (0..self.outputs().len()).filter(is_score) {
            match self.agrees(output, samples) {
                Ok(()) => return Ok(Some(output)),
                Err(what) => wrong = wrong.or(Some(what)),
            }
        }
        wrong.map_or(Ok(None), Err)
    }

    /// Compares what an output gives for sample rows with their scores.
    fn agrees(&self, output: usize, samples: &Samples) -> Checked<()> {
        let column = &self.inner.columns[output];
        if !column.element.is_real() {
            return Ok(());
        }
        // A column without any value has no type of its own.
        let typed = |(column, input): (&ArrayRef, &ScorerInput)| {
            let is_text =
                column.null_count() == column.len() && input.list.is_none() && input.value == ScorerValue::Text;
            if is_text { new_null_array(&DataType::Utf8, column.len()) } else { column.clone() }
        };
        let columns: Vec<ArrayRef> = samples.columns.iter().zip(&self.inner.signature.inputs).map(typed).collect();
        let (inputs, rows) = self.inputs(&columns).map_err(|error| error.to_string())?;
        let scores = self.inner.program.run(&inputs, rows, &[column]);
        samples.compare(scores.iter().flat_map(|scores| scores.as_primitive::<Float64Type>().iter()))
    }

    fn fault(&self, what: &str) -> Error {
        Error::invalid(format!("{}: {what}", self.inner.place))
    }

    /// The columns of rows as the model takes them.
    fn inputs<'a>(&self, inputs: &'a [ArrayRef]) -> Result<(Vec<Input<'a>>, usize)> {
        let expected = &self.inner.signature.inputs;
        if inputs.len() != expected.len() {
            return Err(self.fault(&format!("{} input columns, expected {}", inputs.len(), expected.len())));
        }
        let rows = inputs.first().map_or(0, |column| column.len());
        let mut columns = Vec::with_capacity(inputs.len());
        for (at, (column, input)) in inputs.iter().zip(expected).enumerate() {
            let wrong = |what: String| match &input.name {
                Some(name) => self.fault(&format!("input {} {what}", shown(name))),
                None => self.fault(&format!("input {at} {what}")),
            };
            if column.len() != rows {
                return Err(wrong(format!("has {} rows, expected {rows} as the first input has", column.len())));
            }
            if !input.takes(column.data_type()) {
                return Err(wrong(format!("is {}, expected {}", column.data_type(), named_kind(input))));
            }
            columns.push(self.inner.program.input(column, at).map_err(|error| wrong(error.to_string()))?);
        }
        Ok((columns, rows))
    }
}

/// What an input takes, as messages say it.
fn named_kind(input: &ScorerInput) -> String {
    let value = match input.value {
        ScorerValue::Any => "a value",
        ScorerValue::Number => "a number or a boolean",
        ScorerValue::Integer => "an integer or a boolean",
        ScorerValue::Boolean => "a boolean",
        ScorerValue::Text => "a text",
    };
    if input.list.is_some() { format!("a list, each value {value}") } else { value.to_owned() }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.inner.name).field("version", &self.inner.version).finish()
    }
}

/// The entries of ours that a file may have. The quantiles of the training data are for whoever watches the features.
const KEYS: [&str; 3] = ["riverrun.inputs", "riverrun.samples", "riverrun.quantiles"];

/// The file's metadata by key. Only ours is looked at, and it is there once.
fn metadata(proto: &ModelProto) -> Checked<BTreeMap<&str, &str>> {
    let mut found = BTreeMap::new();
    for entry in proto.metadata_props.iter().filter(|entry| entry.key.starts_with("riverrun.")) {
        if !KEYS.contains(&entry.key.as_str()) {
            return Err(format!("metadata {} is unknown, expected {}", shown(&entry.key), KEYS.join(", ")));
        }
        if entry.value.len() > METADATA_BYTES_MAX {
            return Err(format!("metadata \"{}\" is longer than {} MiB", entry.key, METADATA_BYTES_MAX >> 20));
        }
        if found.insert(entry.key.as_str(), entry.value.as_str()).is_some() {
            return Err(format!("metadata \"{}\" is there twice", entry.key));
        }
    }
    Ok(found)
}

/// Which outputs are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    One(usize),
    All,
}

/// A model with its output chosen. Scores batches; a score depends on its row alone.
#[derive(Clone, Debug)]
pub struct OutputScorer {
    model: Model,
    chosen: Chosen,
}

impl OutputScorer {
    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The output that was chosen, if it is one.
    pub fn chosen(&self) -> Option<&Output> {
        match self.chosen {
            Chosen::One(output) => Some(&self.model.outputs()[output]),
            Chosen::All => None,
        }
    }

    /// Where all outputs are chosen and the file does not say whose the scores are, some output has to give them.
    fn check_samples(&self, samples: &Samples) -> Checked<()> {
        match (&samples.output, self.chosen) {
            (None, Chosen::One(output)) => self.model.agrees(output, samples),
            (None, Chosen::All) => self.model.sampled(samples).map(|_| ()),
            (Some(name), _) => self.model.agrees(self.model.named(name)?, samples),
        }
    }

    fn columns(&self) -> Vec<&Column> {
        let columns = &self.model.inner.columns;
        match self.chosen {
            Chosen::One(output) => vec![&columns[output]],
            Chosen::All => columns.iter().collect(),
        }
    }
}

impl Scorer for OutputScorer {
    fn inputs(&self) -> &[ScorerInput] {
        &self.model.inner.signature.inputs
    }

    fn output(&self) -> DataType {
        let columns = self.columns();
        match self.chosen {
            Chosen::One(_) => Program::data_type(columns[0]),
            Chosen::All => DataType::Struct(self.fields(&columns)),
        }
    }

    fn chosen(&self) -> Option<String> {
        let output = OutputScorer::chosen(self).map_or_else(|| "all outputs".to_owned(), Output::to_string);
        (self.model.outputs().len() > 1).then_some(output)
    }

    fn version(&self) -> &str {
        &self.model.inner.version
    }

    fn score(&self, inputs: &[ArrayRef]) -> Result<ArrayRef> {
        let (inputs, rows) = self.model.inputs(inputs)?;
        let columns = self.columns();
        let mut results = self.model.inner.program.run(&inputs, rows, &columns);
        match self.chosen {
            Chosen::One(_) => results.pop().ok_or_else(|| Error::internal("a program gave no column")),
            Chosen::All => Ok(Arc::new(StructArray::new(self.fields(&columns), results, None))),
        }
    }
}

impl OutputScorer {
    fn fields(&self, columns: &[&Column]) -> Fields {
        let names = self.model.inner.signature.field_names();
        names
            .into_iter()
            .zip(columns)
            .map(|(name, column)| Field::new(name, Program::data_type(column), true))
            .collect()
    }
}
