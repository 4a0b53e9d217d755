//! `xtask bench W3`: W1's windows with a model of 300 trees that scores every row, beside W1 and the scoring by
//! themselves, and beside DuckDB with onnxruntime; all on one thread and in turns.

use crate::bench::{self, Agreement};
use crate::contender::{Contender, Stage, W1, Workload, riverrun_project};
use crate::data::{Dataset, Recipe};
use crate::failure;
use crate::measure::{Samples, measure};
use crate::models::cpu_s;
use crate::python::{self, DUCKDB, MODELS, Python};
use crate::report::Bar;
use arrow::array::{ArrayRef, RecordBatch};
use dataflow::{Error, Result, Scorer};
use model::{Model, OutputSelector};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The CPU of W3 against that of W1 and of scoring, each by itself.
const PARTS_MAX: f64 = 1.3;
/// And against that of DuckDB with onnxruntime.
const PEER_MAX: f64 = 0.2;
/// The rows of a batch that is scored by itself: as many as operators pass on.
const BATCH: usize = 4096;

/// What all of them took.
pub struct Scored {
    pub events: usize,
    /// The windows without a model.
    pub windows: Samples,
    /// CPU seconds of scoring all rows, one for each round.
    pub scoring: Vec<f64>,
    /// Both at once.
    pub both: Samples,
    /// DuckDB with onnxruntime.
    pub peer: Samples,
    pub agreement: Agreement,
}

impl Scored {
    fn scoring_s(&self) -> f64 {
        let mut figures = self.scoring.clone();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
    }

    pub fn agree(&self) -> bool {
        self.agreement.differ == 0 && self.agreement.rows > 0
    }

    pub fn bars(&self) -> Vec<Bar> {
        let both = self.both.cpu_s();
        let bar = |what: &str, found, most| Bar::at_most(what.to_owned(), found, most, "x");
        vec![
            bar(
                "W3, CPU against W1 and scoring by themselves",
                both / (self.windows.cpu_s() + self.scoring_s()),
                PARTS_MAX,
            ),
            bar("W3, CPU against DuckDB with onnxruntime", both / self.peer.cpu_s(), PEER_MAX),
        ]
    }

    pub fn text(&self) -> String {
        let line = |name: &str, samples: &Samples| {
            format!("{name:>24}{:>11.2}{:>11.2}{:>11.0}", samples.cpu_s(), samples.wall_s(), samples.peak_mib())
        };
        let heads: String = ["CPU s", "wall s", "peak MiB"].iter().map(|head| format!("{head:>11}")).collect();
        let Agreement { rows, differ, first, .. } = &self.agreement;
        let mut lines = vec![
            format!("\nW3 over {} events: W1's windows, and 300 trees of depth 6 that score every row", self.events),
            format!("{:>24}{heads}", ""),
            line("W1", &self.windows),
            format!("{:>24}{:>11.2}", "scoring alone", self.scoring_s()),
            line("W3", &self.both),
            line("DuckDB and onnxruntime", &self.peer),
        ];
        match differ {
            0 => lines.push(format!("  both agree on all {rows} rows, scores to 1e-5")),
            _ => lines.push(format!("  THE ROWS DIFFER: {differ} of {rows}, the first:\n    {}", first.join("\n    "))),
        }
        lines.join("\n")
    }

    pub fn json(&self) -> Value {
        json!({
            "events": self.events,
            "w1": self.windows.json(),
            "scoring_cpu_s": self.scoring_s(),
            "w3": self.both.json(),
            "duckdb_onnxruntime": self.peer.json(),
            "rows": self.agreement.rows,
            "differ": self.agreement.differ,
        })
    }
}

/// Measures all of them in turns.
pub fn run(cache: &Path, binary: &Path, recipe: &Recipe, rounds: usize) -> Result<Scored> {
    let packages = [DUCKDB, MODELS, &[("pyarrow", "")]].concat();
    let python = Python::prepare(cache, "venv-scored", &packages)?;
    let dataset = Dataset::prepare(cache, recipe)?;
    let folder = cache.join("runs").join("scored");
    let made = |error| failure::file("make", &folder, error);
    std::fs::create_dir_all(&folder).map_err(made)?;
    let riverrun = Some(binary.to_path_buf());
    let windows_folder = folder.join("windows");
    std::fs::create_dir_all(&windows_folder).map_err(made)?;
    let stage = Stage { workload: Workload::W1, dataset: &dataset, python: &python, folder: windows_folder, riverrun };
    let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
    let model = folder.join("trees.onnx");
    let [mut windows, mut both, mut peer] = <[Samples; 3]>::default();
    let mut scoring = Vec::new();
    let mut outputs = Vec::new();
    for round in 1..=rounds {
        let ready = stage.ready(Contender::Riverrun(1))?;
        sample(&mut windows, &python, &ready.command, &folder.join("windows.log"))?;
        if round == 1 {
            eprintln!("training the model of W3");
            python::succeed(python.command("scored_peer.py").arg("fit").arg(&ready.output).arg(&model))?;
        }
        let scored = python::answer(Command::new(&here).arg("score-rows").arg(&model).arg(stage_tables(&stage)))?;
        scoring.push(scored["cpu_s"].as_f64().unwrap_or(f64::NAN));
        let ours = lay(&folder.join("riverrun"), &dataset, &model)?;
        let mut command = Command::new(binary);
        command.args(["run", "--fresh", "--until-caught-up", "--workers", "1", "--project"]).arg(&ours);
        sample(&mut both, &python, &command, &folder.join("riverrun.log"))?;
        let query = folder.join("query.sql");
        python::write(&query, W1)?;
        let output = folder.join("peer.parquet");
        let mut command = python.command("scored_peer.py");
        command.arg("run").arg(&query).arg(dataset.messages()).args([&model, &output]);
        sample(&mut peer, &python, &command, &folder.join("peer.log"))?;
        outputs = vec![
            ("DuckDB and onnxruntime".to_owned(), output.display().to_string()),
            ("riverrun".to_owned(), format!("{}/warehouse/**/*.parquet", ours.display())),
        ];
        let took = [windows.cpu_s(), both.cpu_s(), peer.cpu_s()];
        eprintln!(
            "W3, round {round} of {rounds}: W1 {:.2} s of CPU, W3 {:.2} s, the peer {:.2} s",
            took[0], took[1], took[2]
        );
    }
    let [left, right] = outputs.as_slice() else { return Err(Error::invalid("W3 takes at least one round")) };
    let agreement = bench::compare(&python, left, right)?;
    Ok(Scored { events: recipe.events, windows, scoring, both, peer, agreement })
}

fn sample(samples: &mut Samples, python: &Python, command: &Command, log: &Path) -> Result<()> {
    samples.0.push(measure(python, command, log)?);
    Ok(())
}

/// The folder in which W1's run keeps its tables.
fn stage_tables(stage: &Stage) -> PathBuf {
    stage.folder.join(Contender::Riverrun(1).name()).join("warehouse")
}

/// Writes the project anew: W1's view, and a table of its rows with their scores.
fn lay(folder: &Path, dataset: &Dataset, model: &Path) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| failure::file("remove", folder, error))?;
    }
    let made = |error| failure::file("make", folder, error);
    for each in ["pipelines", "models"] {
        std::fs::create_dir_all(folder.join(each)).map_err(made)?;
    }
    std::fs::copy(model, folder.join("models/trees.onnx")).map_err(|error| failure::file("copy", model, error))?;
    riverrun_project(folder, dataset)?;
    let scored = format!(
        "CREATE MODEL trees FROM 'models/trees.onnx' OUTPUT probability OF 1;\n\
         CREATE VIEW features AS\n{};\n\
         INSERT INTO bench.w3 SELECT *, predict(trees) AS score FROM features;\n",
        W1.trim_end()
    );
    python::write(&folder.join("pipelines/w3.sql"), &scored)?;
    Ok(folder.to_path_buf())
}

/// Scores the rows of a table, and prints how many there are and the CPU seconds that scoring them took.
pub fn score_rows(model: &Path, tables: &Path) -> Result<()> {
    let model = Model::load("bench", model)?;
    let scorer = model.select(&OutputSelector::Probability { label: "1".to_owned() })?;
    let (mut rows, mut took) = (0, 0.0);
    for file in parquet_files(tables)? {
        let failed = |error: parquet::errors::ParquetError| Error::invalid(format!("{}: {error}", file.display()));
        let opened = File::open(&file).map_err(|error| failure::file("read", &file, error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(failed)?.with_batch_size(BATCH);
        for batch in reader.build().map_err(failed)? {
            let inputs = inputs(&scorer, &batch?)?;
            let begin = cpu_s()?;
            std::hint::black_box(scorer.score(&inputs)?);
            took += cpu_s()? - begin;
            rows += inputs.first().map_or(0, |column| column.len());
        }
    }
    println!("{}", json!({ "rows": rows, "cpu_s": took }));
    Ok(())
}

fn inputs(scorer: &dyn Scorer, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let column = |name: &Option<String>| {
        let name = name.as_deref().unwrap_or_default();
        let found = batch.column_by_name(name).cloned();
        found.ok_or_else(|| Error::invalid(format!("the table has no column {name:?}")))
    };
    scorer.inputs().iter().map(|input| column(&input.name)).collect()
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = |error| failure::file("read", folder, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.is_dir() {
            found.extend(parquet_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    Ok(found)
}
