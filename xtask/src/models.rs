//! The model crate's evaluator beside onnxruntime: rows a second of CPU, at three batch sizes, on one pinned core.

use crate::failure;
use crate::python::{self, MODELS, Python};
use arrow::array::{ArrayRef, AsArray, Float32Array};
use arrow::datatypes::Float64Type;
use dataflow::{Error, Result, Scorer};
use model::{Model, OutputSelector};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const BATCHES: [usize; 3] = [1, 64, 1024];
/// Scores of the two differ by no more.
pub const DIFFERENCE_MAX: f64 = 1e-6;

const COLUMNS: usize = 20;
const ROWS_MIN: usize = 16_384;
const CPU_MIN_S: f64 = 0.5;

/// What one batch size came to: rows per CPU second, medians of the rounds.
pub struct Rates {
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

impl Models {
    pub fn agree(&self) -> bool {
        self.difference <= DIFFERENCE_MAX
    }
}

/// Makes the model once, then scores the same rows on both sides in turns.
pub fn compare(cache: &Path, rounds: usize) -> Result<Models> {
    let python = Python::prepare(cache, "venv-model", MODELS)?;
    let (model, rows) = (cache.join("model-300x6.onnx"), cache.join("model-300x6.f32"));
    if !model.exists() || !rows.exists() {
        eprintln!("training 300 trees of depth 6");
        python::succeed(python.command("model_peer.py").arg("make").args([&model, &rows]))?;
    }
    let scores = |side: &str| cache.join(format!("scores-{side}.f64"));
    let mut found: Vec<[Vec<f64>; 2]> = BATCHES.iter().map(|_| Default::default()).collect();
    for round in 1..=rounds {
        for (batch, found) in BATCHES.iter().zip(&mut found) {
            eprintln!("round {round} of {rounds}: batch {batch}");
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
    let difference = python::answer(judge.arg("compare").args([scores("onnxruntime"), scores("ours")]))?;
    let rates = BATCHES.iter().zip(found).map(|(batch, [onnxruntime, ours])| Rates {
        batch: *batch,
        onnxruntime: median(onnxruntime),
        ours: median(ours),
    });
    Ok(Models { rates: rates.collect(), difference: difference["differ"].as_f64().unwrap_or(1.0) })
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
    let scorer = Model::load("bench", model)?.select(&OutputSelector::Probability { label: "1".to_owned() })?;
    let values = read_floats(rows)?;
    let whole = columns(&values);
    let parts: Vec<Vec<ArrayRef>> = values.chunks(batch.max(1) * COLUMNS).map(columns).collect();
    write_scores(&scorer.score(&whole)?, scores)?;
    let begin = cpu_s()?;
    let mut count = 0;
    for (place, part) in parts.iter().cycle().enumerate() {
        std::hint::black_box(scorer.score(part)?);
        count += part[0].len();
        if count >= ROWS_MIN && place % 16 == 0 && cpu_s()? - begin >= CPU_MIN_S {
            break;
        }
    }
    println!("{}", json!({ "rows": count, "cpu_s": cpu_s()? - begin }));
    Ok(())
}

fn read_floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).map_err(|error| failure::file("read", path, error))?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Rows as columns.
fn columns(rows: &[f32]) -> Vec<ArrayRef> {
    let column = |place| rows.chunks(COLUMNS).map(move |row| row[place]).collect::<Vec<f32>>();
    (0..COLUMNS).map(|place| Arc::new(Float32Array::from(column(place))) as ArrayRef).collect()
}

fn write_scores(scores: &ArrayRef, path: &Path) -> Result<()> {
    let scores = arrow::compute::cast(scores, &arrow::datatypes::DataType::Float64)?;
    let bytes: Vec<u8> = scores.as_primitive::<Float64Type>().values().iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(path, bytes).map_err(|error| failure::file("write", path, error))
}

/// The CPU seconds of this thread, the only one.
fn cpu_s() -> Result<f64> {
    let path = PathBuf::from("/proc/thread-self/schedstat");
    let text = std::fs::read_to_string(&path).map_err(|error| failure::file("read", &path, error))?;
    let first = text.split(' ').next().and_then(|text| text.parse::<f64>().ok());
    let nanoseconds = first.ok_or_else(|| Error::internal(format!("{path:?} holds {text:?}, expected nanoseconds")))?;
    Ok(nanoseconds / 1e9)
}
