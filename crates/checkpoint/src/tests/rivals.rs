//! Runs that begin at the same moment, over a store that takes what it finds for its own.

use super::objects::Objects;
use crate::Checkpoints;
use crate::names;
use crate::seeded::{self, Bug};
use crate::store::{Created, Store};
use dataflow::{ManualClock, ProcessingTime, Result};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A store that answers as one does which makes a request again: these very bytes under the name are its own. Before the first
/// epoch that is asked for of it, another run takes one.
struct Rivalled {
    objects: Arc<Objects>,
    rival: Mutex<Option<Arc<Rivalled>>>,
    epoch_of_rival: AtomicU64,
}

impl Rivalled {
    fn over(objects: &Arc<Objects>, rival: Option<Rivalled>) -> Rivalled {
        let (objects, rival) = (objects.clone(), Mutex::new(rival.map(Arc::new)));
        Rivalled { objects, rival, epoch_of_rival: AtomicU64::new(0) }
    }
}

impl Store for Rivalled {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        let rival = self.rival.lock().unwrap().take();
        if let Some(rival) = rival {
            self.epoch_of_rival.store(begun(rival)?.epoch(), SeqCst);
        }
        match self.objects.create(name, bytes)? {
            Created::Exists if self.objects.read(name)?.is_some_and(|found| found == bytes) => Ok(Created::New),
            created => Ok(created),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.objects.read(name)
    }

    fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        self.objects.read_range(name, offset, bytes)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.objects.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.objects.delete(name)
    }

    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}

fn begun(store: Arc<Rivalled>) -> Result<Checkpoints> {
    Checkpoints::unlocked(store, 1, Arc::new(ManualClock::new(ProcessingTime(0))), Box::new(|_| {}))
}

/// The epochs of two runs of which one begins in the middle of the other.
fn epochs_of_two() -> (u64, u64) {
    let objects = Arc::new(Objects::default());
    let store = Arc::new(Rivalled::over(&objects, Some(Rivalled::over(&objects, None))));
    let epoch = begun(store.clone()).unwrap().epoch();
    assert_eq!(names::epochs(&*objects).unwrap(), [epoch]);
    (epoch, store.epoch_of_rival.load(SeqCst))
}

#[test]
fn two_runs_that_begin_at_once_have_two_epochs() {
    assert_eq!(epochs_of_two(), (2, 1));
    seeded::seed(Some(Bug::EpochUnsigned));
    let alike = epochs_of_two();
    seeded::seed(None);
    assert_eq!(alike, (1, 1), "what they write to take an epoch has to differ");
}
