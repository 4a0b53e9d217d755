//! The job: sums per key, and a log of the last rows in pages; as a naive run has them at a position.

use super::chance::Chance;
use crate::JobFacts;
use crate::tests::sample::{Pieces, facts};
use dataflow::{
    Checkpoint, CoordinatorState, EventTime, Frozen, JobRows, KeyGroup, KeyGroups, RestoredJob, Scope, Split,
    SplitState, StepState,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE_ROWS: usize = 4;
/// How many rows the log keeps.
const SPAN: usize = 12;
/// How many key groups have keys.
const GROUPS: usize = 8;

/// The input of a job: rows of a key and a value.
pub struct Job {
    pub rows: Vec<(usize, i64)>,
}

/// A piece with the step that it belongs to.
type NamedPiece = (&'static str, Option<u16>, Vec<u8>);

impl Job {
    pub fn new(chance: &mut Chance) -> Job {
        let keys = chance.of(&[3, 8, 24]);
        let rows = 12 + chance.below(40);
        Job { rows: (0..rows).map(|_| (chance.below(keys), chance.of(&[1, 1, -1]))).collect() }
    }

    /// The state after so many rows, each piece once.
    fn state(&self, generation: u64, position: usize) -> Vec<NamedPiece> {
        let mut sums: BTreeMap<usize, BTreeMap<usize, i64>> = BTreeMap::new();
        for (key, value) in &self.rows[..position] {
            *sums.entry(key % GROUPS).or_default().entry(*key).or_default() += value * generation as i64;
        }
        let mut pieces = vec![("sums", None, format!("{} rounds", position / 8).into_bytes())];
        for (group, sums) in sums {
            let live: Vec<String> =
                sums.iter().filter(|(_, sum)| **sum != 0).map(|(k, s)| format!("{k}:{s}")).collect();
            pieces.push(("sums", Some(group as u16 * 32), live.join(",").into_bytes()));
        }
        for page in position.saturating_sub(SPAN) / PAGE_ROWS..position.div_ceil(PAGE_ROWS) {
            let rows = page * PAGE_ROWS..position.min((page + 1) * PAGE_ROWS);
            let rows: Vec<String> = rows.map(|row| format!("{row}={}", self.rows[row].0)).collect();
            pieces.push(("log", Some((page % GROUPS) as u16 * 32), rows.join(",").into_bytes()));
        }
        pieces
    }

    /// A checkpoint of so many workers.
    pub fn checkpoint(&self, number: u64, generation: u64, position: usize, workers: usize, last: bool) -> Checkpoint {
        let mut steps = Vec::new();
        let state = self.state(generation, position);
        for (name, worker) in ["sums", "log"].iter().flat_map(|name| (0..workers).map(move |worker| (*name, worker))) {
            let groups = KeyGroups::of_worker(worker, workers);
            let own = |&&(step, group, _): &&NamedPiece| {
                step == name && group.is_none_or(|group| groups.contains(KeyGroup(group)))
            };
            let pieces = state.iter().filter(own).map(|(_, group, bytes)| {
                (group.map_or(Scope::Uniform, |group| Scope::Group(KeyGroup(group))), bytes.clone())
            });
            let state: Arc<dyn Frozen> = Arc::new(Pieces(pieces.collect()));
            steps.push(StepState { step: name.to_owned(), watermark: EventTime(position as i64), state });
        }
        let split = SplitState { split: Split::Partition(0), position: (position as u64).to_le_bytes().to_vec() };
        let coordinator = CoordinatorState { number, splits: vec![(0, split)], watermarks: vec![] };
        Checkpoint { coordinator, steps, inputs: vec![], outputs: vec![], rows: JobRows::default(), last }
    }

    /// Whether a job was restored as the naive run is at its position.
    pub fn is_right(&self, facts: &JobFacts, restored: &RestoredJob) -> bool {
        let mut found: Vec<(String, Option<u16>, Vec<u8>)> = Vec::new();
        for step in &restored.steps {
            for (scope, bytes) in &*step.state {
                let group = match scope {
                    Scope::Group(group) => Some(group.0),
                    Scope::Uniform => None,
                };
                found.push((step.step.clone(), group, bytes.clone()));
            }
        }
        found.sort();
        // What is the same everywhere was written by every worker.
        found.dedup_by(|a, b| a.1.is_none() && a == b);
        let state = self.state(facts.generation, position_of(&restored.coordinator));
        let mut right: Vec<_> = state.into_iter().map(|(step, group, bytes)| (step.to_owned(), group, bytes)).collect();
        right.sort();
        found == right
    }
}

/// How many rows had been read.
pub fn position_of(coordinator: &CoordinatorState) -> usize {
    let bytes = coordinator.splits[0].1.position.clone();
    u64::from_le_bytes(bytes.try_into().unwrap()) as usize
}

/// What a generation of the job says of itself.
pub fn facts_of(generation: u64) -> JobFacts {
    JobFacts { generation, ..facts("counts") }
}
