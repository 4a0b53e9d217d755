//! A job that is killed and taken up again, on real operators and readers, with its checkpoints in memory.

use crate::{Chance, Running};
use dataflow::{MemoryCheckpoints, Result};
use engine::Step;
use project::{CollectedRun, Rows, Wired};
use std::sync::Arc;

/// Runs a job that is to end by itself, and kills it some times on its way; each time it goes on with another number of
/// workers. `wire` makes the job of a run that goes on from an earlier one. Gives the rows of each output.
pub fn run_with_kills(wire: &dyn Fn(Option<CollectedRun>) -> Result<Wired>, seed: u64) -> Result<Vec<Rows>> {
    let mut chance = Chance::new(seed);
    let mut earlier: Option<CollectedRun> = None;
    for _ in 0..1 + chance.below(5) {
        let (mut running, rows, store) = start(wire(earlier.clone())?, &mut chance);
        for _ in 0..chance.below(500) {
            if running.driver.step()? == Step::Finished {
                return Ok(rows);
            }
            if chance.permille(30) {
                running.driver.control().commit();
            }
        }
        if let Some(restored) = store.last() {
            earlier = Some(CollectedRun { restored: Arc::new(restored), rows });
        }
    }
    let (running, rows, _) = start(wire(earlier)?, &mut chance);
    running.run_to_end()?;
    Ok(rows)
}

fn start(mut wired: Wired, chance: &mut Chance) -> (Running, Vec<Rows>, MemoryCheckpoints) {
    let (rows, store) = (wired.collected.clone(), MemoryCheckpoints::default());
    wired.checkpoints = Some(Box::new(store.clone()));
    (Running::new(wired, 1 + chance.below(4) as usize, chance.number()), rows, store)
}
