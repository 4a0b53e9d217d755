//! One run of the job, from its start to its end or death.

use super::job::{facts_of, position_of};
use super::turn::Turn;
use super::world::KEPT;
use crate::Checkpoints;
use dataflow::{CheckpointStore, ErrorKind, ManualClock, ProcessingTime, Result};
use std::sync::Arc;

/// Where a run goes on.
struct Place {
    generation: u64,
    number: u64,
    position: usize,
}

/// Lives until the job has ended; sets the epoch once there is one.
pub fn live(turn: &Arc<Turn>, workers: usize, is_fresh: bool, epoch: &mut u64) -> Result<()> {
    let mut run = repeated(|| {
        let (clock, warned) = (Arc::new(ManualClock::new(ProcessingTime(0))), turn.clone());
        let warn = move |e: &dataflow::Error| {
            let right = e.kind() == ErrorKind::Unavailable || warned.is_killed();
            warned.world().check(right, &format!("collection stopped: {}", e.chain()));
        };
        Checkpoints::unlocked(turn.clone(), KEPT, clock, Box::new(warn))
    })?;
    *epoch = run.epoch();
    let mut at = repeated(|| start(turn, &mut run, is_fresh))?;
    loop {
        turn.wait()?;
        let (is_last, is_due) = {
            let mut world = turn.world();
            let is_last = world.closing && at.position == world.job.rows.len();
            let (end, freezes) = (world.end, world.freezes);
            let moves = at.position < end;
            at.position += usize::from(moves);
            (is_last, is_last || at.number == 0 || moves && world.chance.hits(freezes))
        };
        if is_due {
            checkpoint(turn, &mut run, &mut at, workers, is_last)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

fn start(turn: &Turn, run: &mut Checkpoints, is_fresh: bool) -> Result<Place> {
    let newest = run.newest()?;
    let Some(newest) = newest.as_ref().filter(|_| !is_fresh) else {
        let generation = newest.map_or(1, |newest| newest.facts.generation + 1);
        run.begin(facts_of(generation))?;
        turn.world().count("generations");
        return Ok(Place { generation, number: 0, position: 0 });
    };
    let restored = run.go_on(newest, &newest.facts)?;
    let mut world = turn.world();
    let right = world.job.is_right(&newest.facts, &restored);
    world.check(right, "restored state differs from the naive run's");
    world.count("restored");
    let (number, position) = (restored.coordinator.number, position_of(&restored.coordinator));
    Ok(Place { generation: newest.facts.generation, number, position })
}

/// Puts a checkpoint, or gives it up after some tries.
fn checkpoint(turn: &Turn, run: &mut Checkpoints, at: &mut Place, workers: usize, is_last: bool) -> Result<()> {
    let is_first = at.number == 0;
    at.number += 1;
    let checkpoint = turn.world().job.checkpoint(at.number, at.generation, at.position, workers, is_last);
    loop {
        match run.put(&checkpoint) {
            Ok(()) => {
                let mut world = turn.world();
                world.trace(|| format!("epoch {}: checkpoint at {} is durable", run.epoch(), at.position));
                world.promise(run.epoch());
                world.count("checkpoints");
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::Unavailable => {
                let mut world = turn.world();
                if !is_last && !is_first && world.chance.hits(3000) {
                    world.count("given up");
                    return Ok(());
                }
            }
            Err(e) => return Err(e),
        }
    }
}

/// Does it again until an answer is heard.
fn repeated<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::Unavailable => {}
            done => return done,
        }
    }
}
