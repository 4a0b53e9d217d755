//! `xtask bench pulsar`: decisions on a real broker and the reading of a backlog, beside loops with the official Java
//! client, in interleaved pairs.

mod backlog;
mod case;
mod interval;
mod java;
mod place;
mod release;
mod report;

pub use backlog::{Backlog, read};
pub use report::{bars_are_met, json, text};

use crate::failure;
use crate::random::Draws;
use case::{Case, Contender, Outcome, Rule, Stage};
use clap::Args;
use dataflow::Result;
use java::{Java, Traffic};
use place::Broker;
use std::path::Path;

/// The draws of the order.
const KIND: u64 = 1;
/// What is tried of the loop's batches, in milliseconds.
const BATCHES_MS: [u32; 2] = [0, 1];

/// How to measure on Pulsar.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// pulsar: how many pairs of runs
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// pulsar: the messages of the backlog; 0 leaves it out
    #[arg(long, default_value_t = 2_000_000)]
    backlog: u64,
    /// pulsar: messages a second, as often as wanted; 0 leaves decisions out
    #[arg(long = "rate", default_values_t = [1_000, 20_000])]
    rates: Vec<u32>,
    /// pulsar: how long a run counts, after its warm-up
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    run_seconds: u32,
}

/// Two runs that follow each other.
pub struct Pair {
    riverrun: Outcome,
    java: Outcome,
    riverrun_first: bool,
}

/// A case, and its pairs.
pub struct Compared {
    case: Case,
    pairs: Vec<Pair>,
}

/// All that was measured.
pub struct Pulsar {
    cases: Vec<Compared>,
    backlog: Option<Backlog>,
    pairs: usize,
    measured_ms: u32,
    /// By rate, which batches of the loop are its fairest, in milliseconds, and what was tried.
    fairest: Vec<(u32, u32, Vec<(u32, Outcome)>)>,
}

impl Pulsar {
    /// Whether every message led to one action.
    pub fn agree(&self) -> bool {
        let is_whole = |outcome: &Outcome| outcome.missing == 0 && outcome.twice == 0;
        let pairs = self.cases.iter().flat_map(|compared| &compared.pairs);
        pairs.into_iter().all(|pair| is_whole(&pair.riverrun) && is_whole(&pair.java))
    }
}

/// Measures all.
pub fn run(cache: &Path, riverrun: &Path, arguments: &Arguments, seed: u64) -> Result<Pulsar> {
    let cache = cache.join("pulsar");
    std::fs::create_dir_all(&cache).map_err(|error| failure::file("make", &cache, error))?;
    let programs = cache.ancestors().nth(2).unwrap_or(&cache);
    let java = Java::prepare(&cache, programs)?;
    eprintln!("starting a broker");
    let broker = Broker::start(&cache, programs)?;
    let traffic = Traffic::start(&java, &broker.service_url())?;
    let measured_ms = arguments.run_seconds * 1000;
    let riverrun = riverrun.to_owned();
    let mut stage = Stage { cache: cache.clone(), riverrun, java, traffic, broker, measured_ms };
    let pairs = arguments.pairs as usize;
    let mut found = Pulsar { cases: Vec::new(), backlog: None, pairs, measured_ms, fairest: Vec::new() };
    for rate in arguments.rates.iter().copied().filter(|rate| *rate > 0) {
        let (batch_ms, tried) = fairest(&mut stage, rate)?;
        found.fairest.push((rate, batch_ms, tried));
        found.cases.extend(compare(&mut stage, rate, batch_ms, arguments.pairs, seed)?);
    }
    if arguments.backlog > 0 {
        found.backlog = Some(backlog::run(&mut stage, arguments.backlog, arguments.pairs, seed)?);
    }
    Ok(found)
}

/// Tries the loop with and without batches, and gives what has the lower median.
fn fairest(stage: &mut Stage, rate: u32) -> Result<(u32, Vec<(u32, Outcome)>)> {
    let mut tried = Vec::new();
    for batch_ms in BATCHES_MS {
        let outcome = stage.measure(Case { rule: Rule::Stateless, rate }, Contender::Java { batch_ms })?;
        eprintln!("the loop at {rate}/s, batches of {batch_ms} ms: {}", report::line(&outcome));
        tried.push((batch_ms, outcome));
    }
    let best = tried.iter().min_by(|(_, one), (_, other)| one.ms(500).total_cmp(&other.ms(500)));
    Ok((best.map_or(0, |(batch_ms, _)| *batch_ms), tried))
}

/// All rules at a rate, pair after pair, so that whatever else the machine does falls on all of them.
fn compare(stage: &mut Stage, rate: u32, batch_ms: u32, pairs: u32, seed: u64) -> Result<Vec<Compared>> {
    let case = |rule| Compared { case: Case { rule, rate }, pairs: Vec::new() };
    let mut cases: Vec<Compared> = Rule::ALL.into_iter().map(case).collect();
    for number in 0..pairs {
        for (place, compared) in cases.iter_mut().enumerate() {
            let thing = (u64::from(rate) << 32) + u64::from(number) * Rule::ALL.len() as u64 + place as u64;
            let riverrun_first = Draws::new(seed, KIND, thing).chance(0.5);
            let said = format!("{} at {rate}/s, pair {} of {pairs}", compared.case.rule.name(), number + 1);
            let mut measure = |contender, name: &str| -> Result<Outcome> {
                let outcome = stage.measure(compared.case, contender)?;
                eprintln!("{said}: {name} {}", report::line(&outcome));
                Ok(outcome)
            };
            let (ours, loops) = (Contender::Riverrun, Contender::Java { batch_ms });
            let (riverrun, java) = if riverrun_first {
                let riverrun = measure(ours, "riverrun")?;
                (riverrun, measure(loops, "loop")?)
            } else {
                let java = measure(loops, "loop")?;
                (measure(ours, "riverrun")?, java)
            };
            compared.pairs.push(Pair { riverrun, java, riverrun_first });
        }
    }
    Ok(cases)
}
