//! The model crate's evaluator beside onnxruntime: rows a second of CPU, at three batch sizes, on one pinned core.

use crate::failure;
use crate::python::{self, MODELS, Python};
use crate::report::{Bar, CHECKED_MAX};
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array};
use arrow::datatypes::{Field, Float64Type};
use dataflow::{Error, Result, Scorer, ScorerValue};
use model::{Model, Output, OutputSelector};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const BATCHES: [usize; 3] = [1, 64, 1024];
/// Scores of the two differ by no more.
pub const DIFFERENCE_MAX: f64 = 1e-5;

/// What is scored, as the script makes it.
const NAMES: [&str; 9] =
    ["trees", "linear", "encoders", "mlp", "embeddings", "wide_and_deep", "lstm", "convolution", "encoder"];
const ROWS_MIN: usize = 4096;
const CPU_MIN_S: f64 = 0.5;

/// What a model and a batch size came to: rows per CPU second, medians of the rounds.
pub struct Rates {
    pub model: &'static str,
    pub batch: usize,
    pub onnxruntime: f64,
    pub ours: f64,
}

/// The whole comparison.
pub struct Models {
    pub rates: Vec<Rates>,
    /// The greatest difference of two scores of a row.
    pub difference: f64,
}

impl Rates {
    /// How many times as many rows a second of CPU as onnxruntime.
    pub fn ratio(&self) -> f64 {
        self.ours / self.onnxruntime
    }
}

/// How many times as many rows a second of CPU as onnxruntime each model has to score, by batch: trees in batches and
/// one at a time, what is linear at every size.
const LEAST: [(&str, &[usize], f64); 4] =
    [("trees", &[64, 1024], 8.0), ("trees", &[1], 4.0), ("linear", &BATCHES, 1.5), ("encoders", &BATCHES, 1.5)];
/// The neural nets, which are measured in batches of 64: half of them, and each.
const NETS: [&str; 6] = ["mlp", "embeddings", "wide_and_deep", "lstm", "convolution", "encoder"];
const NETS_BATCH: usize = 64;
const NETS_MEDIAN: f64 = 0.45;
const NETS_LEAST: f64 = 0.25;

impl Models {
    /// The figures that have to be reached, each against its bar.
    pub fn bars(&self) -> Vec<Bar> {
        let rates = |wanted: &'static str| self.rates.iter().filter(move |rates| rates.model == wanted);
        let spare = if cfg!(debug_assertions) { CHECKED_MAX } else { 1.0 };
        let bar = |what: String, found, least: f64| {
            Bar::at_least(format!("{what}, rows per CPU second against onnxruntime"), found, least / spare)
        };
        let mut bars = Vec::new();
        for (model, batches, least) in LEAST {
            let wanted = rates(model).filter(|rates| batches.contains(&rates.batch));
            bars.extend(
                wanted.map(|rates| bar(format!("{model} in batches of {}", rates.batch), rates.ratio(), least)),
            );
        }
        let nets = NETS.iter().flat_map(|net| rates(net)).filter(|rates| rates.batch == NETS_BATCH);
        let mut ratios: Vec<(f64, &str)> = nets.map(|rates| (rates.ratio(), rates.model)).collect();
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        bars.extend(ratios.first().map(|(ratio, net)| {
            bar(format!("the slowest neural net, {net}, in batches of {NETS_BATCH}"), *ratio, NETS_LEAST)
        }));
        if let (Some(low), Some(high)) = (ratios.get(ratios.len().saturating_sub(1) / 2), ratios.get(ratios.len() / 2))
        {
            let median = (low.0 + high.0) / 2.0;
            bars.push(bar(format!("neural nets in batches of {NETS_BATCH}, the median"), median, NETS_MEDIAN));
        }
        bars
    }

    pub fn agree(&self) -> bool {
        self.difference <= DIFFERENCE_MAX
    }
}

/// Makes the models once, then scores the same rows on both sides in turns.
pub fn compare(cache: &Path, rounds: usize) -> Result<Models> {
    let python = Python::prepare(cache, "venv-model", MODELS)?;
    let folder = cache.join("models");
    if !NAMES.iter().all(|name| folder.join(format!("{name}.f32")).exists()) {
        eprintln!("training models");
        python::succeed(python.command("model_peer.py").arg("make").arg(&folder))?;
    }
    let mut models = Models { rates: Vec::new(), difference: 0.0 };
    for name in NAMES {
        compare_one(&python, &folder, name, rounds, &mut models)?;
    }
    Ok(models)
}

fn compare_one(python: &Python, folder: &Path, name: &'static str, rounds: usize, models: &mut Models) -> Result<()> {
    let (model, rows) = (folder.join(format!("{name}.onnx")), folder.join(format!("{name}.f32")));
    let scores = |side: &str| folder.join(format!("scores-{side}.f64"));
    let mut found: Vec<[Vec<f64>; 2]> = BATCHES.iter().map(|_| Default::default()).collect();
    for round in 1..=rounds {
        for (batch, found) in BATCHES.iter().zip(&mut found) {
            eprintln!("{name}, round {round} of {rounds}: batch {batch}");
            let mut peer = python.command("model_peer.py");
            peer.arg("score").args([&model, &rows]).arg(batch.to_string()).arg(scores("onnxruntime"));
            found[0].push(rate(&python::answer(&mut peer)?));
            let mut ours = python.command("model_peer.py");
            let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
            ours.arg("pinned").arg(here).arg("score").args([&model, &rows]).arg(batch.to_string()).arg(scores("ours"));
            found[1].push(rate(&python::answer(&mut ours)?));
        }
    }
    let mut judge = python.command("model_peer.py");
    let judged = python::answer(judge.arg("compare").args([scores("onnxruntime"), scores("ours")]))?;
    models.difference = models.difference.max(judged["differ"].as_f64().unwrap_or(1.0));
    models.rates.extend(BATCHES.iter().zip(found).map(|(batch, [onnxruntime, ours])| Rates {
        model: name,
        batch: *batch,
        onnxruntime: median(onnxruntime),
        ours: median(ours),
    }));
    Ok(())
}

fn rate(answer: &Value) -> f64 {
    answer["rows"].as_f64().unwrap_or_default() / answer["cpu_s"].as_f64().unwrap_or(f64::NAN)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Scores rows in batches, and prints rows and CPU seconds as JSON.
pub fn score(model: &Path, rows: &Path, batch: usize, scores: &Path) -> Result<()> {
    let model = Model::load("bench", model)?;
    // The last output, as the other side has it: the probability of the last class, or a net's score.
    let scorer = match model.outputs().last() {
        Some(Output::Probability { label }) => model.select(&OutputSelector::Probability { label: label.clone() })?,
        _ => model.select(&OutputSelector::Value)?,
    };
    let values = read_floats(rows)?;
    let whole = columns(&model, &values);
    let count = whole.first().map_or(0, |column| column.len());
    let part = |from: usize| whole.iter().map(|column| column.slice(from, batch)).collect::<Vec<ArrayRef>>();
    let parts: Vec<Vec<ArrayRef>> = (0..=count - batch).step_by(batch.max(1)).take(512).map(part).collect();
    write_scores(&scorer.score(&whole)?, scores)?;
    let begin = cpu_s()?;
    let mut count = 0;
    for (place, part) in parts.iter().cycle().enumerate() {
        std::hint::black_box(scorer.score(part)?);
        count += batch;
        if count >= ROWS_MIN && place % 16 == 0 && cpu_s()? - begin >= CPU_MIN_S {
            break;
        }
    }
    println!("{}", json!({ "rows": count, "cpu_s": cpu_s()? - begin }));
    Ok(())
}

/// Rows as columns of the types that the model takes.
fn columns(model: &Model, values: &[f32]) -> Vec<ArrayRef> {
    let inputs = &model.signature().inputs;
    let width: usize = inputs.iter().map(|input| input.list.unwrap_or(1)).sum();
    let mut from = 0;
    let mut found: Vec<ArrayRef> = Vec::new();
    for input in inputs {
        let count = input.list.unwrap_or(1);
        let numbers = values.chunks(width).flat_map(|row| &row[from..from + count]).copied();
        let numbers: ArrayRef = match input.value == ScorerValue::Number || input.list.is_some() {
            true => Arc::new(numbers.collect::<Float32Array>()),
            false => Arc::new(numbers.map(|number| number as i64).collect::<Int64Array>()),
        };
        from += count;
        found.push(match input.list {
            None => numbers,
            Some(length) => {
                let field = Arc::new(Field::new("item", numbers.data_type().clone(), true));
                Arc::new(FixedSizeListArray::new(field, length as i32, numbers, None))
            }
        });
    }
    found
}

fn read_floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).map_err(|error| failure::file("read", path, error))?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn write_scores(scores: &ArrayRef, path: &Path) -> Result<()> {
    let scores = arrow::compute::cast(scores, &arrow::datatypes::DataType::Float64)?;
    let bytes: Vec<u8> = scores.as_primitive::<Float64Type>().values().iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(path, bytes).map_err(|error| failure::file("write", path, error))
}

/// The CPU seconds of this thread, the only one.
pub fn cpu_s() -> Result<f64> {
    let path = PathBuf::from("/proc/thread-self/schedstat");
    let text = std::fs::read_to_string(&path).map_err(|error| failure::file("read", &path, error))?;
    let first = text.split(' ').next().and_then(|text| text.parse::<f64>().ok());
    let nanoseconds = first.ok_or_else(|| Error::internal(format!("{path:?} holds {text:?}, expected nanoseconds")))?;
    Ok(nanoseconds / 1e9)
}
