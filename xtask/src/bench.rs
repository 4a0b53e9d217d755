//! `xtask bench`: every contender in turns, round after round, and their outputs held against each other.

use crate::contender::{self, Contender, Stage, Workload};
use crate::data::{Dataset, Recipe};
use crate::decode::{self, Decode};
use crate::exchange::{self, Exchange};
use crate::failure;
use crate::lasting::{self, Lasting};
use crate::live::{self, Live};
use crate::measure::{Samples, measure};
use crate::models::{self, Models};
use crate::plan::{self, Plan};
use crate::pulsar::{self, Pulsar};
use crate::python::{self, DUCKDB, Python};
use crate::scored::{self, Scored};
use crate::state::{self, State};
use dataflow::Result;
use std::path::PathBuf;

/// The files of the spread layout.
const SPREAD_FILES: usize = 200;
/// How many times as many events `grow` takes.
const GROWTH: usize = 10;
/// The workers of a live job.
const LIVE_WORKERS: usize = 2;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Target {
    /// Trailing features over six windows
    W1,
    /// As-of join of profiles
    W5,
    /// W1 with a model of 300 trees that scores every row, beside DuckDB with onnxruntime
    W3,
    /// W1 over 200 files that each span the whole time
    #[value(name = "spread")]
    Spread,
    /// W1 over ten times the events
    #[value(name = "grow")]
    Grow,
    /// Trees, linear models, encoders and neural nets beside onnxruntime
    #[value(name = "models")]
    Models,
    /// A live job: how much later than its rule an action is seen, beside a bare loop
    #[value(name = "live")]
    Live,
    /// Ten times as many JSON messages as there are events, read by one worker and by two
    #[value(name = "decode")]
    Decode,
    /// Columns that windows of three keys do not look at, through their exchanges and around them
    #[value(name = "exchange")]
    Exchange,
    /// The files of a day of a table of 10,000, beside all of them and beside PyIceberg
    #[value(name = "plan")]
    Plan,
    /// A freeze of 1 GiB of state, and W1 with an author for each message, with a bound on memory and without
    #[value(name = "state")]
    State,
    /// W1 with checkpoints and without, and a job with 1 GiB of state that is killed
    #[value(name = "lasting")]
    Lasting,
    /// Decisions on a real broker of Pulsar and a backlog, beside the official Java client; needs a JDK and Maven
    #[value(name = "pulsar")]
    Pulsar,
    /// All of them but pulsar
    #[value(name = "all")]
    All,
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    pub cache: PathBuf,
    pub recipe: Recipe,
    pub rounds: usize,
    pub riverrun: Option<PathBuf>,
    /// How long the live workload may take.
    pub seconds: u32,
    pub pulsar: pulsar::Arguments,
}

/// Whether two outputs hold the same rows.
#[derive(Clone, Debug)]
pub struct Agreement {
    pub left: String,
    pub right: String,
    pub rows: u64,
    pub differ: u64,
    pub first: Vec<String>,
}

/// One workload over one dataset.
pub struct Case {
    pub workload: Workload,
    pub recipe: Recipe,
    pub runs: Vec<(Contender, Samples)>,
    pub agreements: Vec<Agreement>,
}

impl Case {
    pub fn samples(&self, contender: Contender) -> Option<&Samples> {
        self.runs.iter().find(|(found, _)| *found == contender).map(|(_, samples)| samples)
    }

    /// How many times the CPU of another a contender takes.
    pub fn ratio(&self, contender: Contender, other: Contender) -> Option<f64> {
        Some(self.samples(contender)?.cpu_s() / self.samples(other)?.cpu_s())
    }

    /// CPU microseconds per event.
    pub fn cpu_us(&self, contender: Contender) -> Option<f64> {
        Some(self.samples(contender)?.cpu_s() * 1e6 / self.recipe.events as f64)
    }
}

/// All that was measured.
#[derive(Default)]
pub struct Findings {
    pub cases: Vec<Case>,
    pub models: Option<Models>,
    pub live: Option<Live>,
    pub decode: Option<Decode>,
    pub exchange: Option<Exchange>,
    pub scored: Option<Scored>,
    pub plan: Option<Plan>,
    pub state: Option<State>,
    pub lasting: Option<Lasting>,
    pub pulsar: Option<Pulsar>,
}

impl Findings {
    /// Whether all outputs that were compared are the same.
    pub fn agree(&self) -> bool {
        let same = |case: &Case| case.agreements.iter().all(|agreement| agreement.differ == 0);
        self.cases.iter().all(same)
            && self.models.as_ref().is_none_or(Models::agree)
            && self.live.as_ref().is_none_or(Live::agree)
            && self.decode.as_ref().is_none_or(|decode| decode.agreement.differ == 0)
            && self.exchange.as_ref().is_none_or(Exchange::agree)
            && self.scored.as_ref().is_none_or(Scored::agree)
            && self.plan.as_ref().is_none_or(Plan::agree)
            && self.state.as_ref().is_none_or(State::agree)
            && self.lasting.as_ref().is_none_or(Lasting::agree)
            && self.pulsar.as_ref().is_none_or(Pulsar::agree)
    }

    /// The case of a workload whose recipe fits.
    pub fn case(&self, workload: Workload, fits: impl Fn(&Recipe) -> bool) -> Option<&Case> {
        self.cases.iter().find(|case| case.workload == workload && fits(&case.recipe))
    }
}

/// Measures a target.
pub fn run(target: Target, options: &Options) -> Result<Findings> {
    let mut findings = Findings::default();
    if options.riverrun.is_none() {
        eprintln!("riverrun is not built beside this program: it takes no part (cargo build --bins)");
    }
    let recipe = &options.recipe;
    let ordered = |events| Recipe { events, spread: false, ..recipe.clone() };
    let wanted = |other| target == other || target == Target::All;
    let everyone =
        [Contender::Floor, Contender::DuckDb(1), Contender::DuckDb(2), Contender::Riverrun(1), Contender::Riverrun(2)];
    let alone = [Contender::Floor, Contender::Riverrun(1)];
    if wanted(Target::W1) {
        findings.cases.push(case(Workload::W1, recipe, &everyone, options)?);
    }
    if wanted(Target::W5) {
        findings.cases.push(case(Workload::W5, recipe, &everyone, options)?);
    }
    if let Some(riverrun) = options.riverrun.as_ref().filter(|_| wanted(Target::W3)) {
        findings.scored = Some(scored::run(&options.cache, riverrun, &ordered(recipe.events), options.rounds)?);
    }
    if matches!(target, Target::Spread | Target::Grow) {
        findings.cases.push(case(Workload::W1, &ordered(recipe.events), &alone, options)?);
    }
    if wanted(Target::Spread) {
        let spread = Recipe { files: SPREAD_FILES, spread: true, ..recipe.clone() };
        findings.cases.push(case(Workload::W1, &spread, &[Contender::Riverrun(1)], options)?);
    }
    if wanted(Target::Grow) {
        findings.cases.push(case(Workload::W1, &ordered(recipe.events * GROWTH), &alone, options)?);
    }
    if wanted(Target::Models) {
        findings.models = Some(models::compare(&options.cache, options.rounds)?);
    }
    if wanted(Target::Live) {
        findings.live = live(options)?;
    }
    if let Some(riverrun) = options.riverrun.as_ref().filter(|_| wanted(Target::Decode)) {
        findings.decode = Some(decode::run(&options.cache, riverrun, recipe.events * GROWTH, options.rounds)?);
    }
    if wanted(Target::Exchange) {
        findings.exchange = Some(exchange::run(&options.cache, &ordered(recipe.events), options.rounds)?);
    }
    if wanted(Target::Plan) {
        findings.plan = Some(plan::run(&options.cache, options.rounds)?);
    }
    if wanted(Target::State) {
        let recipe = ordered(recipe.events * GROWTH);
        findings.state = Some(state::run(&options.cache, options.riverrun.as_ref(), &recipe, options.rounds)?);
    }
    if let Some(riverrun) = options.riverrun.as_ref().filter(|_| wanted(Target::Lasting)) {
        let recipe = ordered(recipe.events * GROWTH);
        findings.lasting = Some(lasting::run(&options.cache, riverrun, &recipe, options.rounds)?);
    }
    if let Some(riverrun) = options.riverrun.as_ref().filter(|_| target == Target::Pulsar) {
        findings.pulsar = Some(pulsar::run(&options.cache, riverrun, &options.pulsar, recipe.seed)?);
    }
    Ok(findings)
}

/// The live workload, which riverrun alone runs.
fn live(options: &Options) -> Result<Option<Live>> {
    let Options { cache, riverrun, seconds, .. } = options;
    let Some(riverrun) = riverrun.clone() else { return Ok(None) };
    live::run(&live::Options { cache: cache.clone(), riverrun, seconds: *seconds, workers: LIVE_WORKERS }).map(Some)
}

fn case(workload: Workload, recipe: &Recipe, contenders: &[Contender], options: &Options) -> Result<Case> {
    let python = Python::prepare(&options.cache, "venv-duckdb-2.0.0", DUCKDB)?;
    let dataset = Dataset::prepare(&options.cache, recipe)?;
    let name = dataset.folder.file_name().unwrap_or_default().to_string_lossy().replace("data", workload.name());
    let folder = options.cache.join("runs").join(name);
    std::fs::create_dir_all(&folder).map_err(|error| failure::file("make", &folder, error))?;
    let stage = Stage { workload, dataset: &dataset, python: &python, folder, riverrun: options.riverrun.clone() };
    let takes_part = |contender: &Contender| options.riverrun.is_some() || !matches!(contender, Contender::Riverrun(_));
    let contenders: Vec<Contender> = contenders.iter().copied().filter(takes_part).collect();
    let mut runs: Vec<(Contender, Samples)> = contenders.iter().map(|one| (*one, Samples::default())).collect();
    let mut outputs = Vec::new();
    for round in 1..=options.rounds {
        outputs.clear();
        for (contender, samples) in &mut runs {
            let ready = stage.ready(*contender)?;
            let log = stage.folder.join(format!("{}.log", contender.name()));
            let sample = measure(&python, &ready.command, &log)?;
            eprintln!(
                "{} of {} events, round {round} of {}: {} took {:.2} s of CPU",
                workload.name(),
                recipe.events,
                options.rounds,
                contender.name(),
                sample.cpu_s
            );
            samples.0.push(sample);
            outputs.push((contender.name(), ready.output));
        }
    }
    let agreements = agreements(&stage, &outputs)?;
    Ok(Case { workload, recipe: recipe.clone(), runs, agreements })
}

/// Holds the last round's outputs against the first contender's; against a floor of the same rows where it is alone.
fn agreements(stage: &Stage, outputs: &[(String, String)]) -> Result<Vec<Agreement>> {
    let mut outputs = outputs.to_vec();
    if outputs.len() == 1 {
        let ready = stage.ready(Contender::Floor)?;
        measure(stage.python, &ready.command, &stage.folder.join("floor.log"))?;
        outputs.insert(0, (Contender::Floor.name(), ready.output));
    }
    let Some((first, others)) = outputs.split_first() else { return Ok(Vec::new()) };
    others.iter().map(|other| compare(stage.python, first, other)).collect()
}

/// Holds the rows of one output against those of another.
pub fn compare(python: &Python, left: &(String, String), right: &(String, String)) -> Result<Agreement> {
    eprintln!("comparing {} with {}", right.0, left.0);
    let mut judge = python.command("duckdb_peer.py");
    let found = python::answer(judge.args(["compare", &left.1, &right.1]))?;
    let first = found["first"].as_array().into_iter().flatten();
    Ok(Agreement {
        left: left.0.clone(),
        right: right.0.clone(),
        rows: found["rows"][1].as_u64().unwrap_or_default(),
        differ: found["differ"].as_u64().unwrap_or(u64::MAX),
        first: first.filter_map(|row| row.as_str().map(str::to_owned)).collect(),
    })
}

/// The binary that is measured: the one that was named, or the one beside this program.
pub fn binary(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(contender::riverrun)
}
