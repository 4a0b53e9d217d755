//! A run's thread waits for its turn before every request, so that one seed decides what happens when.

use super::world::{Change, StoreKind, World};
use crate::store::{Created, Store};
use dataflow::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};

/// How often a store that finds what it has made makes a request.
const ATTEMPTS: usize = 3;

/// What a thread tells the scheduler.
pub enum Report {
    /// It wants to make a request, or to go on.
    Waits,
    /// Its run is over: its epoch, and how it ended.
    Over(u64, Result<()>),
}

/// A run's side of the scheduler.
pub struct Turn {
    pub world: Arc<Mutex<World>>,
    pub reports: Sender<Report>,
    /// Whether the run goes on, or is killed.
    pub turns: Mutex<Receiver<bool>>,
    pub is_killed: AtomicBool,
}

impl Turn {
    /// Waits for the turn; a killed run has none.
    pub fn wait(&self) -> Result<()> {
        if !self.is_killed() {
            let _ = self.reports.send(Report::Waits);
            let goes_on = self.turns.lock().unwrap().recv().unwrap_or(false);
            self.is_killed.store(!goes_on, Ordering::Relaxed);
        }
        match self.is_killed() {
            true => Err(Error::internal("killed")),
            false => Ok(()),
        }
    }

    pub fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change(&self, change: &Change) -> Result<Created> {
        self.wait()?;
        let mut world = self.world();
        let (is_heard, is_done) = world.fate(Some(change));
        let done = is_done.then(|| world.change(change));
        done.filter(|_| is_heard).ok_or_else(|| Error::unavailable("no answer"))
    }

    fn ask<T>(&self, ask: impl FnOnce(&World) -> Result<T>) -> Result<T> {
        self.wait()?;
        let mut world = self.world();
        match world.fate(None) {
            (true, _) => ask(&world),
            (false, _) => Err(Error::unavailable("no answer")),
        }
    }
}

impl Store for Turn {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        let change = Change::Create(name.to_owned(), bytes.to_vec());
        if self.world().kind != StoreKind::Finding {
            return self.change(&change);
        }
        for _ in 0..ATTEMPTS {
            match self.change(&change) {
                Ok(Created::New) => return Ok(Created::New),
                Ok(Created::Exists) => match self.read(name) {
                    Ok(Some(found)) if found == bytes => return Ok(Created::New),
                    Ok(Some(_)) => return Ok(Created::Exists),
                    Err(e) if e.kind() != ErrorKind::Unavailable => return Err(e),
                    Ok(None) | Err(_) => {}
                },
                Err(e) if e.kind() == ErrorKind::Unavailable => {}
                Err(e) => return Err(e),
            }
        }
        Err(Error::unavailable("no answer"))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.ask(|world| world.objects.read(name))
    }

    fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        self.ask(|world| world.objects.read_range(name, offset, bytes))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.ask(|world| world.objects.list(prefix))
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.change(&Change::Delete(name.to_owned())).map(|_| ())
    }

    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}
