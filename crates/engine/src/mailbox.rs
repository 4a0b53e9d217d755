//! What reaches a worker from outside: events of other workers, commands to its readers, and calls to look again.

use crate::event::Envelope;
use crossbeam_channel::{Receiver, Sender, unbounded};
use dataflow::{Command, ReaderId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Wake;
use std::time::Duration;

/// A letter in the mailbox of a worker.
#[derive(Debug)]
pub enum Letter {
    /// An event for a lane.
    Event(Envelope),
    /// A command of the coordinator to a reader.
    Command(ReaderId, Command),
    /// Something that the worker can see for itself has changed: room in a lane or a sink, a source, the control.
    LookAgain,
}

/// The mailbox of one worker. A worker sleeps only after it found this empty, so nothing that was put in is missed.
pub struct Mailbox {
    letters: Receiver<Letter>,
    caller: Arc<Caller>,
}

/// Calls a worker to look again, from any thread. Calls that the worker has not answered yet are one call.
#[derive(Debug)]
pub struct Caller {
    letters: Sender<Letter>,
    called: AtomicBool,
}

impl Caller {
    /// Calls the worker.
    pub fn call(&self) {
        if !self.called.swap(true, SeqCst) {
            // A worker that is gone has nothing to look at.
            let _ = self.letters.send(Letter::LookAgain);
        }
    }

    /// Puts an event into the worker's mailbox.
    pub fn send(&self, envelope: Envelope) {
        // A worker that is gone has failed, and its error ends the job.
        let _ = self.letters.send(Letter::Event(envelope));
    }

    /// Puts a command into the worker's mailbox.
    pub fn command(&self, reader: ReaderId, command: Command) {
        let _ = self.letters.send(Letter::Command(reader, command));
    }
}

impl Mailbox {
    pub fn new() -> Mailbox {
        let (sender, letters) = unbounded();
        Mailbox { letters, caller: Arc::new(Caller { letters: sender, called: AtomicBool::new(false) }) }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// How many letters are there now: who takes so many comes to an end, whatever is put in meanwhile.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// The next letter, if there is one.
    pub fn take(&self) -> Option<Letter> {
        self.opened(self.letters.try_recv().ok())
    }

    /// Waits for a letter, for ever or for a while.
    pub fn wait(&self, at_most: Option<Duration>) -> Option<Letter> {
        self.opened(match at_most {
            Some(at_most) => self.letters.recv_timeout(at_most).ok(),
            None => self.letters.recv().ok(),
        })
    }

    fn opened(&self, letter: Option<Letter>) -> Option<Letter> {
        if matches!(letter, Some(Letter::LookAgain)) {
            // Before the worker looks: a call that comes while it looks is a new letter.
            self.caller.called.store(false, SeqCst);
        }
        letter
    }
}

/// Wakes one source of a worker.
#[derive(Debug)]
pub struct SourceWaker {
    woken: AtomicBool,
    worker: Arc<Caller>,
}

impl SourceWaker {
    pub fn new(worker: Arc<Caller>) -> SourceWaker {
        SourceWaker { woken: AtomicBool::new(false), worker }
    }

    pub fn is_woken(&self) -> bool {
        self.woken.load(SeqCst)
    }

    /// Forgets the calls so far; before a poll, so that a call during it leads to another one.
    pub fn answer(&self) {
        self.woken.store(false, SeqCst);
    }

    /// Has the source polled again without calling its worker, which is awake.
    pub fn look_again(&self) {
        self.woken.store(true, SeqCst);
    }
}

impl Wake for SourceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, SeqCst);
        self.worker.call();
    }
}
