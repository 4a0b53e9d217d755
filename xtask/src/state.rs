//! `xtask bench state`: how long a freeze of much state keeps a step from its rows, what the next checkpoint writes when
//! nearly nothing has come, and W1 with an author of its own for each message, with and without a bound on memory.

use crate::bench::{self, Agreement};
use crate::contender::{Contender, Stage, Workload};
use crate::data::{Dataset, Recipe};
use crate::failure;
use crate::measure::{Samples, measure};
use crate::python::{self, DUCKDB, Python};
use crate::report::Bar;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use dataflow::{
    BadRowPolicy, Batch, Context, Error, EventTime, Input, KeyGroups, Operator, PageAt, Result, RowOrder, Scope, Span,
    StateWriter,
};
use operators::{Aggregate, AsOf, BadRows, Window, as_of, window};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// How much state is frozen.
const STATE_BYTES: usize = 1 << 30;
/// How many rows come at once.
const BATCH: i64 = 4096;
/// How often state is frozen, with a few rows in between.
const FREEZES: usize = 5;
/// The bound on the state of W1 in the run that has one, of what the run without takes: so little that all must spill that
/// can.
const BOUND_PERCENT: f64 = 40.0;

/// What was found.
pub struct State {
    pub freezes: Vec<Freeze>,
    pub keys: Option<Keys>,
}

/// State of one step.
pub struct Freeze {
    pub what: &'static str,
    pub bytes: usize,
    /// The longest freeze, in seconds.
    pub longest_s: f64,
    /// What a checkpoint has written after the first, as a share of all that it names.
    pub written_again: f64,
}

/// W1 with as many authors as messages.
pub struct Keys {
    pub events: usize,
    pub unbounded: Samples,
    /// The bound of the other runs.
    pub bound_mib: usize,
    pub bounded: Samples,
    pub agreement: Agreement,
}

impl State {
    pub fn text(&self) -> String {
        let mut lines = vec!["\nstate".to_owned()];
        lines.extend(self.freezes.iter().map(|freeze| {
            format!(
                "  {:<28} {:>6} MiB: frozen within {:.1} ms, {:.2} % of it written again",
                freeze.what,
                freeze.bytes >> 20,
                freeze.longest_s * 1e3,
                freeze.written_again * 1e2
            )
        }));
        lines.extend(self.keys.as_ref().map(|keys| {
            let line = |samples: &Samples| {
                format!("{:.1} s, {:.1} s of CPU, {:.0} MiB", samples.wall_s(), samples.cpu_s(), samples.peak_mib())
            };
            format!(
                "  W1 over {} events of as many authors: {}; with state_memory = \"{} MiB\": {} ({:.2} \
                 times as long); {} of {} rows differ",
                keys.events,
                line(&keys.unbounded),
                keys.bound_mib,
                line(&keys.bounded),
                keys.ratio(),
                keys.agreement.differ,
                keys.agreement.rows
            )
        }));
        lines.join("\n")
    }

    pub fn json(&self) -> Value {
        let freeze = |freeze: &Freeze| {
            json!({
                "what": freeze.what, "bytes": freeze.bytes, "longest_s": freeze.longest_s,
                "written_again": freeze.written_again,
            })
        };
        let keys = |keys: &Keys| {
            json!({
                "events": keys.events, "unbounded": keys.unbounded.json(), "bounded": keys.bounded.json(),
                "bound_mib": keys.bound_mib,
                "rows": keys.agreement.rows, "differ": keys.agreement.differ,
            })
        };
        json!({ "freezes": self.freezes.iter().map(freeze).collect::<Vec<_>>(), "keys": self.keys.as_ref().map(keys) })
    }

    pub fn agree(&self) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.agreement.differ == 0 && keys.agreement.rows > 0)
    }

    /// The bars of the design: a pause under 50 ms at 1 GiB, a log of which nothing new came adds less than 1 %, 10 million
    /// keys in 4 GiB, and at most twice the time with a bound.
    pub fn bars(&self) -> Vec<Bar> {
        let mut bars = Vec::new();
        for freeze in &self.freezes {
            bars.push(Bar::at_most(format!("freeze, {}", freeze.what), freeze.longest_s * 1e3, 50.0, " ms"));
            bars.push(Bar::at_most(format!("written again, {}", freeze.what), freeze.written_again * 1e2, 1.0, " %"));
        }
        if let Some(keys) = &self.keys {
            bars.push(Bar::at_most(
                "W1, authors as many as events".to_owned(),
                keys.unbounded.peak_mib(),
                4096.0,
                " MiB",
            ));
            bars.push(Bar::at_most("W1, time with a bound against without".to_owned(), keys.ratio(), 2.0, "x"));
        }
        bars
    }
}

impl Keys {
    /// The time with a bound against that without.
    fn ratio(&self) -> f64 {
        self.bounded.wall_s() / self.unbounded.wall_s()
    }
}

/// Measures all of it; W1 only where there is a binary.
pub fn run(cache: &Path, riverrun: Option<&PathBuf>, recipe: &Recipe, rounds: usize) -> Result<State> {
    let freezes = vec![windows()?, last_rows()?];
    let keys = riverrun.map(|riverrun| keys(cache, riverrun, recipe, rounds)).transpose()?;
    Ok(State { freezes, keys })
}

/// Rows of a key and a number, one a microsecond from a number on.
fn rows(first: i64, key: impl Fn(i64) -> i64) -> Result<Batch> {
    let numbers = first..first + BATCH;
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.clone().map(key)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.clone()));
    let columns = RecordBatch::try_from_iter([("key", keys), ("value", values)])?;
    let orders = numbers.clone().map(|number| RowOrder(number as u128)).collect();
    Batch::new(columns, numbers.collect(), orders)
}

/// Spreads a number over others, without two that meet.
fn spread(number: i64) -> i64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)
}

/// A log of 100,000 keys.
fn windows() -> Result<Freeze> {
    let functions = [Aggregate::Count, Aggregate::Sum].map(|aggregate| window::Function {
        name: aggregate.name().to_owned(),
        aggregate,
        argument: Some(1),
        filter: None,
        frame: window::Frame { from: Span(i64::MAX / 2), to: Span(0) },
        order: vec![],
    });
    let spec = window::Spec { partition_by: vec![0], functions: functions.into() };
    let key = |number: i64| spread(number % 100_000);
    let schema = rows(0, key)?.schema();
    let mut step = Window::new(schema, spec, bad_rows())?;
    fill(&mut step, "a window's log", (Input(0), key))
}

/// The last row of each key.
fn last_rows() -> Result<Freeze> {
    let spec = as_of::Spec {
        left_keys: vec![0],
        right_keys: vec![0],
        columns: vec![(1, "met".to_owned())],
        behind: Span(0),
        strict: false,
        inner: false,
    };
    let schema = rows(0, spread)?.schema();
    let mut step = AsOf::new(schema.clone(), schema, spec)?;
    fill(&mut step, "last rows of an as-of join", (Input(1), spread))
}

/// No row here is bad.
fn bad_rows() -> BadRows {
    let (stream, step) = ("state".to_owned(), "state".to_owned());
    let text: fn(_) -> _ = |_| Err(Error::internal("no row of this benchmark is bad"));
    BadRows { stream, step, policy: BadRowPolicy::Fail, has_coordinates: false, text }
}

/// Gives a step rows until it holds so much state, then freezes and writes it a few times, with few rows in between.
fn fill(step: &mut dyn Operator, what: &'static str, (input, key): (Input, fn(i64) -> i64)) -> Result<Freeze> {
    let (mut cx, mut first) = (Context::new(KeyGroups::ALL), 0);
    let mut more = |step: &mut dyn Operator, cx: &mut Context| {
        let batch = rows(first, key)?;
        cx.set_room(usize::MAX, usize::MAX);
        step.process(input, &batch, cx)?;
        first += BATCH;
        step.advance(EventTime(first - 1), cx)?;
        cx.take_emitted();
        Ok::<(), Error>(())
    };
    while cx.state_bytes() < STATE_BYTES {
        more(step, &mut cx)?;
    }
    let (bytes, mut longest_s, mut stored) = (cx.state_bytes(), 0f64, Stored::default());
    let mut written_again = 0f64;
    for freeze in 0..FREEZES {
        #[expect(clippy::disallowed_methods, reason = "a chore measures time")]
        let begun = Instant::now();
        let frozen = step.freeze()?;
        longest_s = longest_s.max(begun.elapsed().as_secs_f64());
        (stored.all, stored.new) = (0, 0);
        frozen.write(&mut stored)?;
        drop(frozen);
        if freeze > 0 {
            written_again = written_again.max(stored.new as f64 / stored.all.max(1) as f64);
        }
        more(step, &mut cx)?;
    }
    Ok(Freeze { what, bytes, longest_s, written_again })
}

/// Counts what a folder of checkpoints would store, and what of it anew; pages are known by their numbers.
#[derive(Default)]
struct Stored {
    pages: HashMap<u64, usize>,
    pieces: HashSet<u64>,
    all: usize,
    new: usize,
}

impl StateWriter for Stored {
    fn put(&mut self, _: Scope, bytes: &[u8]) -> Result<()> {
        self.all += bytes.len();
        if self.pieces.insert(xxh3_64(bytes)) {
            self.new += bytes.len();
        }
        Ok(())
    }

    fn put_page(&mut self, page: &PageAt, encode: &dyn Fn() -> Result<(KeyGroups, Vec<u8>)>) -> Result<()> {
        if let Some(bytes) = self.pages.get(&page.number) {
            self.all += bytes;
            return Ok(());
        }
        let bytes = encode()?.1.len();
        self.pages.insert(page.number, bytes);
        (self.all, self.new) = (self.all + bytes, self.new + bytes);
        Ok(())
    }
}

/// W1 over messages of one author each, in turns with a bound and without.
fn keys(cache: &Path, riverrun: &Path, recipe: &Recipe, rounds: usize) -> Result<Keys> {
    let python = Python::prepare(cache, "venv-duckdb-2.0.0", DUCKDB)?;
    let dataset = Dataset::prepare_distinct(cache, recipe)?;
    let mut samples = <[Samples; 2]>::default();
    let (mut outputs, mut bound_mib) = (Vec::new(), 0);
    for round in 1..=rounds {
        outputs.clear();
        for (name, samples) in ["unbounded", "bounded"].into_iter().zip(&mut samples) {
            let folder = cache.join("runs").join("state").join(name);
            std::fs::create_dir_all(&folder).map_err(|error| failure::file("make", &folder, error))?;
            let riverrun = Some(riverrun.to_owned());
            let (workload, log) = (Workload::W1, folder.join("log"));
            let stage = Stage { workload, dataset: &dataset, python: &python, folder, riverrun };
            let ready = stage.ready(Contender::Riverrun(1))?;
            if name == "bounded" {
                bound(&stage.folder.join(Contender::Riverrun(1).name()).join("riverrun.toml"), bound_mib)?;
            }
            let sample = measure(&python, &ready.command, &log)?;
            let (wall_s, peak_mib) = (sample.wall_s, sample.peak_bytes / f64::from(1 << 20));
            eprintln!(
                "W1 of {} authors, {name}, round {round} of {rounds}: {wall_s:.1} s, {peak_mib:.0} MiB",
                recipe.events
            );
            if name == "unbounded" && round == 1 {
                bound_mib = (peak_mib * BOUND_PERCENT / 100.0) as usize;
            }
            samples.0.push(sample);
            outputs.push((name.to_owned(), ready.output));
        }
    }
    let agreement = bench::compare(&python, &outputs[0], &outputs[1])?;
    let [unbounded, bounded] = samples;
    Ok(Keys { events: recipe.events, unbounded, bound_mib, bounded, agreement })
}

/// Gives the project of a run a bound.
fn bound(settings: &Path, mib: usize) -> Result<()> {
    let read = std::fs::read_to_string(settings).map_err(|error| failure::file("read", settings, error))?;
    python::write(settings, &format!("{read}state_memory = \"{mib} MiB\"\n"))
}
