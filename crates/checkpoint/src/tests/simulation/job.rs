//! The job: sums per key, and a log of the last rows in pages; as a naive run has them at a position.

use super::chance::Chance;
use crate::JobFacts;
use crate::tests::sample::facts;
use dataflow::{
    Checkpoint, CoordinatorState, EventTime, Frozen, JobRows, KeyGroup, KeyGroups, PageAt, PageScope, RestoredJob,
    Result, Scope, Split, SplitState, StateWriter, StepState,
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
type NamedPiece = (&'static str, Scope, Vec<u8>);

/// The state of a step in one worker, whose pages have numbers.
struct Numbered(Vec<(Scope, Vec<u8>)>);

impl Frozen for Numbered {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        for (scope, bytes) in &self.0 {
            match scope {
                Scope::Page(PageScope { groups, first, watermark }) => {
                    let number = page_of(bytes) as u64;
                    let at = PageAt { number, first: *first, watermark: *watermark };
                    out.put_page(&at, &|| Ok((*groups, bytes.clone())))?;
                }
                _ => out.put(*scope, bytes)?,
            }
        }
        Ok(())
    }
}

/// The number of a page by its first row.
fn page_of(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    text.split('=').next().and_then(|row| row.parse::<usize>().ok()).expect("a page begins with a row") / PAGE_ROWS
}

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
        let group_of = |group: usize| Scope::Group(KeyGroup(group as u16 * 32));
        let mut pieces = vec![("sums", Scope::Uniform, format!("{} rounds", position / 8).into_bytes())];
        for (group, sums) in sums {
            let live: Vec<String> =
                sums.iter().filter(|(_, sum)| **sum != 0).map(|(k, s)| format!("{k}:{s}")).collect();
            pieces.push(("sums", group_of(group), live.join(",").into_bytes()));
        }
        for page in position.saturating_sub(SPAN) / PAGE_ROWS..position.div_ceil(PAGE_ROWS) {
            let rows = page * PAGE_ROWS..position.min((page + 1) * PAGE_ROWS);
            let is_full = rows.len() == PAGE_ROWS;
            let first = position.saturating_sub(SPAN).saturating_sub(rows.start) as u32;
            let rows: Vec<String> = rows.map(|row| format!("{row}={}", self.rows[row].0)).collect();
            let Scope::Group(group) = group_of(page % GROUPS) else { unreachable!() };
            let groups = KeyGroups { from: group.0, to: group.0 + 1 };
            let page = PageScope { groups, first, watermark: EventTime(position as i64) };
            let scope = if is_full { Scope::Page(page) } else { Scope::Group(group) };
            pieces.push(("log", scope, rows.join(",").into_bytes()));
        }
        pieces
    }

    /// A checkpoint of so many workers.
    pub fn checkpoint(&self, number: u64, generation: u64, position: usize, workers: usize, last: bool) -> Checkpoint {
        let mut steps = Vec::new();
        let state = self.state(generation, position);
        for (name, worker) in ["sums", "log"].iter().flat_map(|name| (0..workers).map(move |worker| (*name, worker))) {
            let groups = KeyGroups::of_worker(worker, workers);
            let is_held = |scope: &Scope| match scope {
                Scope::Uniform => true,
                Scope::Group(group) => groups.contains(*group),
                Scope::Page(page) => groups.contains(KeyGroup(page.groups.from)),
            };
            let own = |(step, scope, _): &&NamedPiece| *step == name && is_held(scope);
            let pieces = state.iter().filter(own).map(|(_, scope, bytes)| (*scope, bytes.clone()));
            let state: Arc<dyn Frozen> = Arc::new(Numbered(pieces.collect()));
            steps.push(StepState { step: name.to_owned(), watermark: EventTime(position as i64), state });
        }
        let split = SplitState { split: Split::Partition(0), position: (position as u64).to_le_bytes().to_vec() };
        let coordinator = CoordinatorState { number, splits: vec![(0, split)], watermarks: vec![] };
        Checkpoint {
            coordinator,
            steps,
            inputs: vec![],
            outputs: vec![],
            rows: JobRows::default(),
            last,
            replays: false,
        }
    }

    /// Whether a job was restored as the naive run is at its position.
    pub fn is_right(&self, facts: &JobFacts, restored: &RestoredJob) -> bool {
        let mut found: Vec<(String, Scope, Vec<u8>)> = Vec::new();
        for step in &restored.steps {
            let pieces = crate::tests::sample::all(&step.state).into_iter();
            found.extend(pieces.map(|(scope, bytes)| (step.step.clone(), scope, bytes)));
        }
        found.sort_by(|a, b| (&a.0, &a.2).cmp(&(&b.0, &b.2)));
        // What is the same everywhere was written by every worker.
        found.dedup_by(|a, b| a.1 == Scope::Uniform && a == b);
        let state = self.state(facts.generation, position_of(&restored.coordinator));
        let mut right: Vec<_> = state.into_iter().map(|(step, scope, bytes)| (step.to_owned(), scope, bytes)).collect();
        right.sort_by(|a, b| (&a.0, &a.2).cmp(&(&b.0, &b.2)));
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
