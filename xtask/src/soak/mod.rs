//! `xtask soak`: a job on a real broker for a long time, with everything going wrong now and then.
//!
//! ```text
//! publisher -> proxy -> broker -> proxy -> job -> table, topic
//!                ^        ^                  ^
//!                cut,     killed, away,      killed
//!                stalled  unloaded
//! ```
//!
//! At the end each row is there once, and memory did not grow.

mod fault;
mod outcome;
mod proxy;
mod publisher;
mod scene;

use crate::failure;
use clap::{Args, ValueEnum};
use dataflow::Result;
use fault::Faults;
use publisher::Publisher;
use scene::Scene;
use std::path::Path;
use tests::machine::{SECOND, now, pause};

/// What is soaked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A job on a broker of Pulsar
    Pulsar,
}

/// How long, and how often things go wrong.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    target: Target,
    /// How long messages are published
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// For how long the broker is away, once, in the middle
    #[arg(long, default_value_t = 5.0)]
    away_minutes: f64,
    /// Messages a second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds between faults
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// The seed of the faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How often it is told how the job is.
const TELL_EVERY: i64 = 30 * SECOND;
/// How long the job may take to catch up, and the publisher to have all stored.
const PATIENCE: i64 = 600 * SECOND;

/// Runs it; whether each row is there once, within the memory that it may take.
pub fn run(arguments: &Arguments, riverrun: Option<&Path>, cache: &Path) -> Result<bool> {
    let Arguments { target: Target::Pulsar, minutes, away_minutes, rate, every, seed } = *arguments;
    let missing = || failure::program("riverrun", "is not built beside this program; run cargo build --bins");
    let riverrun = riverrun.ok_or_else(missing)?;
    let lasts = |minutes: f64| (minutes.clamp(0.0, 1e6) * 60.0) as i64 * SECOND;
    std::fs::create_dir_all(cache).map_err(|error| failure::file("make", cache, error))?;
    println!("starting a broker");
    let mut scene = Scene::start(cache, riverrun)?;
    let publisher = Publisher::start(&scene.service(), rate)?;
    scene.start_job();
    let mut faults = Faults::new(seed);
    let begun = now();
    let (ends, away_at) = (begun + lasts(minutes), begun + lasts(minutes) / 2);
    let (mut next_fault, mut next_line, mut was_away) = (begun + i64::from(every) * SECOND, begun, away_minutes <= 0.0);
    while now() < ends || !was_away {
        if now() >= next_line {
            next_line += TELL_EVERY;
            scene.tell((now() - begun) / SECOND, publisher.published(), faults.count());
        }
        if !was_away && now() >= away_at {
            was_away = true;
            faults.away(&mut scene, lasts(away_minutes), &publisher, begun)?;
        } else if now() >= next_fault {
            faults.strike(&mut scene)?;
            next_fault = now() + i64::from(every) * SECOND;
        }
        scene.look()?;
        pause(SECOND / 5);
    }
    let published = publisher.end(PATIENCE)?;
    let most = scene.end_job(PATIENCE)?;
    let outcome = outcome::look(&scene, published)?;
    let minutes = (now() - begun) as f64 / 60e6;
    println!("{minutes:.1} minutes, {published} messages, {}", faults.told());
    println!("{most}");
    println!("{outcome}");
    Ok(outcome.is_whole() && most.is_bounded() && faults.was_told())
}
