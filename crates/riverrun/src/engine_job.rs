//! What the engine runs of a job that the project has wired.

use dataflow::Result;
use engine::{CheckpointPace, Job, Pool, SinkBinding};
use project::{Wired, WiredSink};
use std::sync::Arc;

/// The engine's job of what the project wired, and what must live as long as it runs.
pub fn engine_job(mut wired: Wired, workers: Option<usize>) -> Result<(Job, project::SpillFolder)> {
    let workers = workers.unwrap_or_else(cores).max(1);
    let (readers, coordinator) = wired.readers(workers, Arc::new(Pool::new(workers)?))?;
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
        pace: CheckpointPace::default(),
        restored: wired.restored,
    };
    Ok((job, wired.spill))
}

/// How many workers a job has where nobody says.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
