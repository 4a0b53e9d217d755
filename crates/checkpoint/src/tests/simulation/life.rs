//! One run of the job, from its start to its end or death.

use super::job::{facts_of, position_of};
use super::turn::Turn;
use super::world::KEPT;
use crate::Checkpoints;
use crate::manifest::Manifest;
use crate::names;
use crate::reading;
use crate::tests::objects::Objects;
use dataflow::{CheckpointStore, ErrorKind, ManualClock, ProcessingTime, RestoredJob, Result};
use std::sync::Arc;

/// Where a run goes on.
struct Place {
    generation: u64,
    number: u64,
    position: usize,
}

/// Where a run is told to begin.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// At the newest checkpoint.
    GoOn,
    /// At the beginning.
    Anew,
    /// At a savepoint.
    From(usize),
}

/// Lives until the job has ended; sets the epoch once there is one.
pub fn live(turn: &Arc<Turn>, workers: usize, begin: Begin, epoch: &mut u64) -> Result<()> {
    let mut run = repeated(|| {
        let (clock, warned) = (Arc::new(ManualClock::new(ProcessingTime(0))), turn.clone());
        let warn = move |e: &dataflow::Error| {
            let right = e.kind() == ErrorKind::Unavailable || warned.is_killed();
            warned.world().check(right, &format!("collection stopped: {}", e.chain()));
        };
        Checkpoints::unlocked(turn.clone(), KEPT, clock, Box::new(warn))
    })?;
    *epoch = run.epoch();
    let mut at = repeated(|| start(turn, &mut run, begin))?;
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
            save(turn, &run)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

fn start(turn: &Turn, run: &mut Checkpoints, begin: Begin) -> Result<Place> {
    let newest = run.newest()?;
    let Some(newest) = newest.as_ref().filter(|_| !matches!(begin, Begin::Anew)) else {
        let generation = newest.map_or(1, |newest| newest.facts.generation + 1);
        run.begin(facts_of(generation))?;
        turn.world().count("generations");
        return Ok(Place { generation, number: 0, position: 0 });
    };
    if let Begin::From(savepoint) = begin
        && let Some(place) = resume(turn, run, savepoint)?
    {
        return Ok(place);
    }
    let restored = run.go_on(newest, &newest.facts)?;
    turn.world().count("restored");
    Ok(place(turn, newest, &restored))
}

/// Begins from a savepoint; not where that is refused, since the job has begun anew.
fn resume(turn: &Turn, run: &mut Checkpoints, savepoint: usize) -> Result<Option<Place>> {
    let store = turn.world().savepoints[savepoint].clone();
    let saved = reading::newest(&*store)?.expect("a savepoint is whole");
    match run.resume_copy(&*store, &saved, &saved.facts) {
        Ok(restored) => {
            turn.world().count("resumed");
            Ok(Some(place(turn, &saved, &restored)))
        }
        Err(e) if e.kind() == ErrorKind::Invalid && e.chain().contains("begun anew") => {
            turn.world().count("of an earlier generation");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Where a run goes on that was restored.
fn place(turn: &Turn, from: &Manifest, restored: &RestoredJob) -> Place {
    let mut world = turn.world();
    let right = world.job.is_right(&from.facts, restored);
    world.check(right, "restored state differs from the naive run's");
    let (number, position) = (restored.coordinator.number, position_of(&restored.coordinator));
    Place { generation: from.facts.generation, number, position }
}

/// Makes a savepoint, sometimes; one that a run is killed over is none.
fn save(turn: &Turn, run: &Checkpoints) -> Result<()> {
    if !turn.world().chance.hits(1500) {
        return Ok(());
    }
    let copy = Objects::default();
    match run.save_copy(&copy) {
        Ok(_) => {
            let mut world = turn.world();
            if !names::manifests(&copy)?.is_empty() {
                world.savepoints.push(Arc::new(copy));
                world.count("saved");
            }
            Ok(())
        }
        // What it is a copy of was collected by a successor, or there was no answer.
        Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unavailable) => Ok(()),
        Err(e) => Err(e),
    }
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
