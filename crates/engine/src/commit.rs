//! Gathers what the writers of an output prepared at a barrier, and commits it when all have, on a thread of its own.

use crate::notes::Notes;
use crate::parts::Preparation;
use crate::patience::Patience;
use crate::seeded::{self, Rule};
use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use dataflow::{Committable, Committer, Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Is told the number of a checkpoint up to which an output is committed.
pub type TellCommitted = Box<dyn Fn(u64) + Send>;

/// The committer of one output and what waits for it.
pub struct SinkCommitter {
    pub name: String,
    pub committer: Box<dyn Committer>,
    pub prepared: Receiver<Preparation>,
    pub writers: usize,
    /// How many commits were made, over all outputs.
    pub commits: Arc<AtomicU64>,
    pub notes: Notes,
    tell: TellCommitted,
    patience: Patience,
    // Per barrier: how many writers have prepared, what, and whether it commits.
    waiting: BTreeMap<u64, (usize, Vec<Committable>, bool)>,
    // What all writers have prepared and a later checkpoint commits, with the number of the last one that put something
    // there.
    gathered: (u64, Vec<Committable>),
    // What is to be committed, and no commit has made visible.
    due: Vec<Committable>,
    // The number of the last checkpoint that put something there.
    due_upto: u64,
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
        (commits, notes): (Arc<AtomicU64>, Notes),
        (patience, tell): (Patience, TellCommitted),
    ) -> SinkCommitter {
        let (waiting, gathered, due, due_upto) = (BTreeMap::new(), (0, Vec::new()), Vec::new(), 0);
        SinkCommitter {
            name,
            committer,
            prepared,
            writers,
            commits,
            notes,
            tell,
            patience,
            waiting,
            gathered,
            due,
            due_upto,
        }
    }

    /// Takes what writers prepared, and commits what is due. A catalog that cannot be reached is asked again later;
    /// what is prepared in the meantime goes into the same commit.
    pub fn step(&mut self, wait: bool) -> Result<CommitterStep> {
        let taken = self.take(wait)?;
        if self.due.is_empty() {
            return Ok(taken);
        }
        if wait && !self.patience.is_due() {
            return Ok(CommitterStep::Idle);
        }
        if seeded::leaves_out(Rule::CommittedWhenKnown) {
            (self.tell)(self.due_upto);
        }
        match self.committer.commit(self.due.clone()) {
            Ok(()) => {
                self.due.clear();
                self.patience.succeed();
                (self.tell)(self.due_upto);
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
        self.due.is_empty() && self.gathered.1.is_empty() && self.waiting.is_empty() && self.prepared.is_empty()
    }

    fn again(&mut self, error: Error) -> Result<CommitterStep> {
        if seeded::leaves_out(Rule::CommitsAgain) {
            self.due.clear();
        }
        let note = format!("{} waits to be committed: {}", self.name, error.chain());
        self.patience.fail(error, &format!("{} could not be committed", self.name))?;
        self.notes.set(&self.name, note);
        Ok(CommitterStep::Idle)
    }

    /// Takes one or more of what writers prepared; waits for the first, or for the next attempt.
    fn take(&mut self, wait: bool) -> Result<CommitterStep> {
        if wait {
            let first = match self.due.is_empty() {
                true => self.prepared.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => self.prepared.recv_timeout(self.patience.pause()),
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
        if self.patience.is_failing() {
            // The channel never gives anything: this is a wait with a bound.
            let _ = crossbeam_channel::never::<()>().recv_timeout(self.patience.pause());
        }
    }

    fn put(&mut self, prepared: Preparation) -> Result<()> {
        let (seen, committables, commits) = self.waiting.entry(prepared.barrier.number).or_default();
        (*seen, *commits) = (*seen + 1, prepared.barrier.commits);
        committables.extend(prepared.committable);
        // Barriers are complete in their order, since every writer prepares them in it.
        while let Some(first) = self.waiting.first_entry().filter(|first| first.get().0 == self.writers) {
            let (number, (_, committables, commits)) = first.remove_entry();
            if !committables.is_empty() {
                self.gathered.0 = number;
                self.gathered.1.extend(committables);
            }
            if !commits && seeded::leaves_out(Rule::GatheredWaits) {
                self.gathered.1.clear();
            }
            if commits && !self.gathered.1.is_empty() {
                self.due_upto = self.gathered.0;
                self.due.append(&mut self.gathered.1);
            }
        }
        Ok(())
    }
}
