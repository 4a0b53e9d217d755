//! The checkpoints of a job, and how a run goes on from the last one.

use crate::open::Project;
use checkpoint::{Checkpoints, JobFacts, Manifest};
use dataflow::{CheckpointStore, CoordinatorState, Error, EventTime, OutputState, RestoredJob, Result};
use seam::has_read_nothing;
use std::path::PathBuf;

/// The checkpoints of a job, and the one that a run goes on from.
pub(crate) struct GoingOn {
    folder: PathBuf,
    // The number of the newest manifest, as it was looked at before anything was held.
    seen: Option<u64>,
    pub last: Option<Manifest>,
    held: Option<Checkpoints>,
}

impl GoingOn {
    /// Looks at the checkpoints of a job, and writes nothing. A run that starts over goes on from none of them.
    pub fn look(project: &Project, job: Option<&str>, fresh: bool) -> Result<GoingOn> {
        let folder = project.checkpoints_path(job);
        let newest = if fresh { None } else { checkpoint::look(&folder)? };
        let seen = newest.as_ref().map(|newest| newest.number);
        // Its streams had ended for good before they had a row, so that none could come after it, and nothing came out.
        let is_over = newest.as_ref().is_some_and(|last| last.coordinator.watermarks.contains(&EventTime::MAX));
        let last = match newest {
            Some(newest) if is_over && has_read_nothing(&newest.coordinator)? => None,
            newest => newest,
        };
        Ok(GoingOn { folder, seen, last, held: None })
    }

    /// Takes the checkpoints; refused by name while another run holds them.
    pub fn hold(&mut self, project: &Project, fresh: bool) -> Result<()> {
        let warn = Box::new(|error: &Error| eprintln!("warning: {}", error.chain()));
        let held = Checkpoints::open(&self.folder, project.checkpoints_kept(), project.clock.clone(), warn)?;
        if !fresh && held.newest()?.map(|newest| newest.number) != self.seen {
            return Err(Error::unavailable("another run of the job has put a checkpoint while this one began"));
        }
        self.held = Some(held);
        Ok(())
    }

    /// Refuses a checkpoint of which the job that is planned now would make something else.
    pub fn check(&self, fingerprint: &str, from: Option<EventTime>) -> Result<()> {
        let Some(Manifest { facts, coordinator, written_at, .. }) = &self.last else { return Ok(()) };
        let number = coordinator.number;
        if facts.fingerprint != fingerprint {
            return Err(Error::invalid(format!(
                "the job has changed since its checkpoint {number} of {written_at} (revision {} of the pipelines), and what \
                 that holds is of the job as it was: put the pipelines back, or start over from history with `--fresh`",
                facts.revision
            )));
        }
        if from.is_some() && from != facts.from {
            return Err(Error::invalid(format!(
                "--from says where outputs begin, and this job goes on from its checkpoint {number} of {written_at}: leave \
                 it out, or start over with `--fresh`"
            )));
        }
        Ok(())
    }

    /// The snapshot that the job reads as a stream's history.
    pub fn snapshot(&self, stream: &str) -> Option<i64> {
        let histories = &self.last.as_ref()?.facts.histories;
        histories.iter().find(|(name, _)| name == stream)?.1.parse().ok()
    }

    /// What an output left, by the name of its node.
    pub fn output(&self, node: &str) -> Option<&OutputState> {
        self.last.as_ref()?.outputs.iter().find(|output| output.output == node)
    }

    /// Makes this run the one that the checkpoints belong to. With a checkpoint to go on from, gives what it holds, with
    /// the positions as they are to be read on.
    pub fn begin(&mut self, facts: JobFacts, positions: CoordinatorState) -> Result<Option<RestoredJob>> {
        let held = self.held.as_mut().ok_or_else(|| Error::internal("a job begins whose checkpoints nobody holds"))?;
        let Some(last) = &mut self.last else {
            return held.begin(facts).map(|()| None);
        };
        last.coordinator = positions;
        held.go_on(last, &facts).map(Some)
    }

    /// Where checkpoints go.
    pub fn into_store(self) -> Option<Box<dyn CheckpointStore>> {
        self.held.map(|held| Box::new(held) as Box<dyn CheckpointStore>)
    }
}
