//! The thread that commits what an archive has written, so that reading goes on and nobody waits for a busy catalog.

use connector_iceberg::{CommitWait, TableClaim};
use dataflow::{Committable, Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// What wakes an archive.
pub enum ArchiveEvent {
    /// A topic may have new messages.
    TopicGrown,
    /// A commit waits, and for what.
    CommitWaits(String),
    /// A commit has ended.
    CommitDone(Result<()>),
}

/// Commits of one table, one at a time.
pub struct CommitThread {
    // `None` from the time that this is dropped.
    commits: Option<SyncSender<CommitRequest>>,
    thread: Option<JoinHandle<()>>,
    under_way: bool,
}

struct CommitRequest {
    committables: Vec<Committable>,
    properties: Vec<(String, String)>,
    from: Option<String>,
}

impl CommitThread {
    /// Starts the thread. It ends when this is dropped and its last commit has ended, and holds the claim until then.
    /// Once it is to stop, no commit waits any longer.
    pub fn start(
        claim: TableClaim,
        (stream, answer): (usize, Sender<(usize, ArchiveEvent)>),
        stop: Arc<AtomicBool>,
    ) -> Result<CommitThread> {
        let (commits, work) = sync_channel::<CommitRequest>(1);
        let claim = claim.attended_by(Arc::new(WaitingArchive { stream, answer: answer.clone(), stop }));
        let run = move || {
            for commit in work {
                let result = claim.commit_archive(&commit.committables, &commit.properties, commit.from.as_deref());
                drop(answer.send((stream, ArchiveEvent::CommitDone(result))));
            }
        };
        let thread = thread::Builder::new().name("commit".to_owned()).spawn(run);
        let thread =
            thread.map_err(|error| Error::unavailable("a thread for commits cannot be started").with_source(error))?;
        Ok(CommitThread { commits: Some(commits), thread: Some(thread), under_way: false })
    }

    /// Begins a commit, whose answer comes later. `from` is the frontier that the table has until then.
    pub fn commit(
        &mut self,
        committables: Vec<Committable>,
        properties: Vec<(String, String)>,
        from: Option<String>,
    ) -> Result<()> {
        let commit = CommitRequest { committables, properties, from };
        let sent = self.commits.as_ref().is_some_and(|commits| commits.send(commit).is_ok());
        self.under_way = true;
        if sent { Ok(()) } else { Err(Error::internal("the thread that commits has ended")) }
    }

    /// Notes that the answer has come.
    pub fn answered(&mut self) {
        self.under_way = false;
    }
}

/// An archive whose commit waits.
struct WaitingArchive {
    stream: usize,
    answer: Sender<(usize, ArchiveEvent)>,
    stop: Arc<AtomicBool>,
}

impl CommitWait for WaitingArchive {
    fn tell(&self, line: &str) {
        // Whoever has stopped listening wants no answers.
        let _ = self.answer.send((self.stream, ArchiveEvent::CommitWaits(line.to_owned())));
    }

    fn is_over(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

impl Drop for CommitThread {
    /// The claim is free when this returns, unless a commit is under way: that one takes its time, and ends with it.
    fn drop(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take().filter(|_| !self.under_way) {
            // A thread that has panicked holds nothing any more.
            let _ = thread.join();
        }
    }
}
