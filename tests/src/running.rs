//! A job in the seeded driver.

use dataflow::{AtOnce, Background, Error, EventTime, Fate, Result, SpillInMemory, StateMemory};
use engine::{Control, Driver, Job, Pool, SinkBinding, Step};
use project::{NewTables, Rows, SpillFolder, Wired, WiredSink};
use seam::{Counts, StreamStats};
use std::collections::BTreeMap;
use std::sync::Arc;

/// After so many steps in a row that moved nothing, nothing moves.
const STILL: usize = 3;

/// A job whose steps a test makes.
pub struct Running {
    /// What makes its steps.
    pub driver: Driver,
    /// Where its topics and actions begin.
    pub start: EventTime,
    /// The rows of each output, where the job collects them.
    pub collected: Vec<Rows>,
    stats: Vec<Arc<StreamStats>>,
    new_tables: NewTables,
    _spill: SpillFolder,
}

/// What a step may do with rows beside passing them on, as far as it is the same wherever the step stands in the plan: how
/// many rows a condition removes depends on what stands before it.
const FATES: [Fate; 8] = [
    Fate::LateMoved,
    Fate::LateDropped,
    Fate::Quarantined,
    Fate::Deduplicated,
    Fate::Bad,
    Fate::DeadLettered,
    Fate::RuleFailed,
    Fate::Joined,
];

/// How many rows a page of state has where all that can be put aside is.
const SMALL_PAGE_ROWS: usize = 16;

/// What becomes of rows, which the SQL says and no plan may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCounts {
    /// Per stream the rows that were given out of history and of the topic, moved and dropped as late, quarantined,
    /// bad, written as dead letters, and joined.
    pub streams: BTreeMap<String, [u64; 8]>,
    /// What all steps did.
    pub fates: [i64; FATES.len()],
    /// How many scores models failed to give.
    pub failed_scores: i64,
    /// The rows that came to each output.
    pub outputs: BTreeMap<String, i64>,
}

impl RowCounts {
    /// Whether a plan with more rules makes the same of all rows, and computes no more scores: those of rows that nobody
    /// wants need not be computed, nor fail.
    pub fn agree(&self, without: &RowCounts) -> bool {
        let failed_scores = without.failed_scores;
        self.failed_scores <= failed_scores && RowCounts { failed_scores, ..self.clone() } == *without
    }

    /// The rows that are late, bad, repeated or fail in a step.
    pub fn removed_or_moved(&self) -> u64 {
        let of_streams = self.streams.values().flat_map(|counts| &counts[2..]).sum::<u64>();
        of_streams + self.fates.iter().sum::<i64>().unsigned_abs()
    }
}

/// What the engine runs of a wired job, and what has to live as long.
pub fn engine_job(mut wired: Wired, workers: usize, background: Arc<dyn Background>) -> Result<(Job, SpillFolder)> {
    let (readers, coordinator) = wired.readers(workers, background)?;
    let bind = |sink: WiredSink| {
        let WiredSink { writer, committer, after, replay, .. } = sink;
        SinkBinding { writer, committer, after, replay }
    };
    let job = Job {
        graph: wired.graph,
        readers,
        coordinator,
        sinks: wired.sinks.into_iter().map(bind).collect(),
        workers,
        clock: wired.clock,
        spill_dir: wired.spill.path().to_owned(),
        state_memory: engine::state_memory(wired.state_memory, wired.spill.path()),
        checkpoints: wired.checkpoints,
        pace: engine::CheckpointPace::default(),
        restored: wired.restored,
    };
    Ok((job, wired.spill))
}

/// Runs a job, which is to end by itself, on threads as users do; gives the rows of each output.
pub fn run_on_threads(wired: Wired, workers: usize) -> Result<Vec<Rows>> {
    let (collected, new_tables) = (wired.collected.clone(), wired.new_tables.clone());
    let (job, _spill) = engine_job(wired, workers, Arc::new(Pool::new(workers)?))?;
    engine::run(job, &Arc::new(Control::default()), &mut |_| {})?;
    new_tables.take_places()?;
    Ok(collected)
}

impl Running {
    /// Starts a job on so many workers with the choices of a seed.
    pub fn new(wired: Wired, workers: usize, seed: u64) -> Running {
        Running::started(wired, workers, seed).expect("the job can be built")
    }

    /// The same for a job whose state may not be what it was written as.
    pub fn started(wired: Wired, workers: usize, seed: u64) -> Result<Running> {
        let (start, stats, collected) = (wired.start, wired.stats.clone(), wired.collected.clone());
        let new_tables = wired.new_tables.clone();
        let (mut job, spill) = engine_job(wired, workers, Arc::new(AtOnce))?;
        if seed % 2 == 1 {
            // All state that can be put aside is.
            job.state_memory = StateMemory::with_pages_of(SMALL_PAGE_ROWS, 0, Box::new(SpillInMemory));
        }
        let driver = Driver::new(job, seed)?;
        Ok(Running { driver, start, collected, stats, new_tables, _spill: spill })
    }

    /// Makes steps until nothing moves, as [`Running::settle`] does, and so many at most; whether the job has ended.
    pub fn settle_within(&mut self, steps: usize) -> Result<bool> {
        let mut still = 0;
        for _ in 0..steps {
            match self.driver.step()? {
                Step::Moved => still = 0,
                Step::Idle if still == STILL => return Ok(false),
                Step::Idle => still += 1,
                Step::Finished => return Ok(true),
            }
        }
        Err(Error::internal(format!("the job goes on after {steps} steps")))
    }

    /// Makes steps until nothing moves before something comes from outside; whether the job has ended.
    pub fn settle(&mut self) -> Result<bool> {
        let mut still = 0;
        while still < STILL {
            match self.driver.step()? {
                Step::Moved => still = 0,
                Step::Idle => still += 1,
                Step::Finished => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Makes steps until the job, which is to end by itself, has ended.
    pub fn run_to_end(mut self) -> Result<Running> {
        if !self.settle()? {
            return Err(Error::internal("the job stands still before its end"));
        }
        self.new_tables.take_places()?;
        Ok(self)
    }

    /// The counts of a stream.
    pub fn counts(&self, stream: &str) -> Counts {
        let found = self.stats.iter().find(|stats| stats.name == stream);
        found.unwrap_or_else(|| panic!("the job reads no stream {stream}")).counts()
    }

    /// What has become of rows so far.
    pub fn row_counts(&self) -> RowCounts {
        let of_stream = |stats: &Arc<StreamStats>| {
            let Counts {
                history_rows,
                live_rows,
                late_moved,
                late_dropped,
                quarantined,
                bad,
                dead_lettered,
                joined,
                ..
            } = stats.counts();
            let all = [history_rows, live_rows, late_moved, late_dropped, quarantined, bad, dead_lettered, joined];
            (stats.name.clone(), all)
        };
        let nodes = self.driver.status().nodes();
        let mut outputs = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.name.starts_with("into ")) {
            *outputs.entry(node.name.clone()).or_default() += node.fates.of(Fate::In);
        }
        let all = |fate| nodes.iter().map(|node| node.fates.of(fate)).sum();
        RowCounts {
            streams: self.stats.iter().map(of_stream).collect(),
            fates: FATES.map(all),
            failed_scores: all(Fate::ScoreFailed),
            outputs,
        }
    }

    /// The bytes of rows that the job holds: in operators, and in readers of history.
    pub fn held_bytes(&self) -> usize {
        let of_readers: u64 = self.stats.iter().map(|stats| stats.counts().history_held_bytes).sum();
        self.driver.status().state_bytes().0 + of_readers as usize
    }
}
