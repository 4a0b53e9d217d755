//! What reaches a worker from outside: events of other workers, and calls to look again.

use crate::event::Envelope;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Wake;
use std::time::Duration;

/// A letter in the mailbox of a worker.
#[derive(Debug)]
enum Letter {
    /// An event for a lane.
    Event(Envelope),
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
}

impl Mailbox {
    pub fn new() -> Mailbox {
        let (sender, letters) = unbounded();
        Mailbox { letters, caller: Arc::new(Caller { letters: sender, called: AtomicBool::new(false) }) }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Takes what is there now: what is put in meanwhile waits for the next time, so that this comes to an end.
    pub fn take(&self, put: &mut dyn FnMut(Envelope)) {
        for _ in 0..self.letters.len() {
            if let Ok(letter) = self.letters.try_recv() {
                self.open(letter, put);
            }
        }
    }

    /// Waits for a letter, for ever or for a while.
    pub fn wait(&self, at_most: Option<Duration>, put: &mut dyn FnMut(Envelope)) {
        let letter = match at_most {
            Some(at_most) => self.letters.recv_timeout(at_most).ok(),
            None => self.letters.recv().ok(),
        };
        if let Some(letter) = letter {
            self.open(letter, put);
        }
    }

    fn open(&self, letter: Letter, put: &mut dyn FnMut(Envelope)) {
        match letter {
            Letter::Event(envelope) => put(envelope),
            // Before the worker looks: a call that comes while it looks is a new letter.
            Letter::LookAgain => self.caller.called.store(false, SeqCst),
        }
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
