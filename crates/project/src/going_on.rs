//! The checkpoints of a job, and how a run goes on from the last one.

use crate::open::Project;
use checkpoint::{Checkpoints, JobFacts, Manifest};
use dataflow::{CoordinatorState, Error, EventTime, OutputState, RestoredJob, Result};
use seam::has_read_nothing;

/// The checkpoints of a job, held by this run, and the one that it goes on from.
pub(crate) struct GoingOn {
    pub checkpoints: Checkpoints,
    pub last: Option<Manifest>,
}

impl GoingOn {
    /// Takes the checkpoints of a job; refused by name while another run holds them. A run that starts over goes on from
    /// none of them.
    pub fn open(project: &Project, job: Option<&str>, fresh: bool) -> Result<GoingOn> {
        let folder = project.checkpoints_path(job);
        let warn = Box::new(|error: &Error| eprintln!("warning: {}", error.chain()));
        let checkpoints = Checkpoints::open(&folder, project.checkpoints_kept(), project.clock.clone(), warn)?;
        let mut last = if fresh { None } else { checkpoints.newest()? };
        // Its streams had ended for good before they had a row, so that none could come after it, and nothing came out.
        let is_over = last.as_ref().is_some_and(|last| last.coordinator.watermarks.contains(&EventTime::MAX));
        if let Some(Manifest { coordinator, .. }) = last.as_ref().filter(|_| is_over)
            && has_read_nothing(coordinator)?
        {
            last = None;
        }
        Ok(GoingOn { checkpoints, last })
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
        let Some(last) = &mut self.last else {
            return self.checkpoints.begin(facts).map(|()| None);
        };
        last.coordinator = positions;
        self.checkpoints.go_on(last, &facts).map(Some)
    }
}
