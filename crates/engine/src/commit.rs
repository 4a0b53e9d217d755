//! Gathers what the writers of an output prepared at a barrier, and commits it when all have, on a thread of its own.

use crate::notes::Notes;
use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use dataflow::{Clock, Committable, Committer, Error, ErrorKind, ProcessingTime, Result, Span};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// For how long a commit is tried again while its catalog cannot be reached.
const COMMIT_AGE: Span = Span::seconds(600);
/// The pauses between attempts: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What one writer prepared at a barrier.
#[derive(Debug)]
pub struct Preparation {
    pub barrier: u64,
    pub committable: Option<Committable>,
}

/// The committer of one output and what waits for it.
pub struct SinkCommitter {
    pub name: String,
    pub committer: Box<dyn Committer>,
    pub prepared: Receiver<Preparation>,
    pub writers: usize,
    pub clock: Arc<dyn Clock>,
    /// How many commits were made, over all outputs.
    pub commits: Arc<AtomicU64>,
    pub notes: Notes,
    // Per barrier: how many writers have prepared, and what.
    waiting: BTreeMap<u64, (usize, Vec<Committable>)>,
    // What all writers have prepared, and no commit has made visible.
    due: Vec<Committable>,
    failing: Option<(ProcessingTime, Duration)>,
}

/// What a step of a committer gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitterStep {
    Moved,
    Idle,
    Ended,
}

impl SinkCommitter {
    pub fn new(
        name: String,
        committer: Box<dyn Committer>,
        (prepared, writers): (Receiver<Preparation>, usize),
        clock: Arc<dyn Clock>,
        commits: Arc<AtomicU64>,
        notes: Notes,
    ) -> SinkCommitter {
        let (waiting, due) = (BTreeMap::new(), Vec::new());
        SinkCommitter { name, committer, prepared, writers, clock, commits, notes, waiting, due, failing: None }
    }

    /// Takes what writers prepared, and commits what is due. A catalog that cannot be reached is asked again later;
    /// what is prepared in the meantime goes into the same commit.
    pub fn step(&mut self, wait: bool) -> Result<CommitterStep> {
        let taken = self.take(wait)?;
        if self.due.is_empty() {
            return Ok(taken);
        }
        match self.committer.commit(self.due.clone()) {
            Ok(()) => {
                self.due.clear();
                self.failing = None;
                self.notes.clear(&self.name);
                self.commits.fetch_add(1, Relaxed);
                Ok(CommitterStep::Moved)
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => self.again(error),
            Err(error) => Err(error),
        }
    }

    /// Whether everything that writers have prepared is committed.
    pub fn is_done(&self) -> bool {
        self.due.is_empty() && self.waiting.is_empty() && self.prepared.is_empty()
    }

    fn again(&mut self, error: Error) -> Result<CommitterStep> {
        let now = self.clock.now();
        let (since, pause) = self.failing.unwrap_or((now, PAUSE));
        if now > since.plus(COMMIT_AGE) {
            return Err(error.context(format!(
                "{} could not be committed for {} s",
                self.name,
                COMMIT_AGE.0 / 1_000_000
            )));
        }
        self.notes.set(&self.name, format!("{} waits to be committed: {}", self.name, error.chain()));
        self.failing = Some((since, (pause * 2).min(PAUSE_MAX)));
        Ok(CommitterStep::Idle)
    }

    /// Takes one or more of what writers prepared; waits for the first, or for the next attempt.
    fn take(&mut self, wait: bool) -> Result<CommitterStep> {
        if wait {
            let first = match (self.due.is_empty(), self.failing) {
                (true, _) => self.prepared.recv().map_err(|_| RecvTimeoutError::Disconnected),
                (false, failing) => self.prepared.recv_timeout(failing.map_or(PAUSE, |(_, pause)| pause)),
            };
            match first {
                Ok(prepared) => self.put(prepared)?,
                Err(RecvTimeoutError::Timeout) => return Ok(CommitterStep::Idle),
                // With nothing that wakes it the committer would try again at once.
                Err(RecvTimeoutError::Disconnected) if !self.due.is_empty() => self.pause(),
                Err(RecvTimeoutError::Disconnected) => return Ok(CommitterStep::Ended),
            }
        }
        let mut taken = CommitterStep::Idle;
        loop {
            match self.prepared.try_recv() {
                Ok(prepared) => self.put(prepared)?,
                Err(TryRecvError::Empty) => return Ok(taken),
                Err(TryRecvError::Disconnected) if self.due.is_empty() => return Ok(CommitterStep::Ended),
                Err(TryRecvError::Disconnected) => return Ok(taken),
            }
            taken = CommitterStep::Moved;
        }
    }

    fn pause(&self) {
        let never = crossbeam_channel::never::<()>();
        let pause = self.failing.map_or(Duration::ZERO, |(_, pause)| pause);
        // The channel never gives anything: this is a wait with a bound.
        let _ = never.recv_timeout(pause);
    }

    fn put(&mut self, prepared: Preparation) -> Result<()> {
        let (seen, committables) = self.waiting.entry(prepared.barrier).or_default();
        *seen += 1;
        committables.extend(prepared.committable);
        // Barriers are complete in their order, since every writer prepares them in it.
        while let Some(first) = self.waiting.first_entry().filter(|first| first.get().0 == self.writers) {
            self.due.extend(first.remove().1);
        }
        Ok(())
    }
}
