//! Wakes readers when the end of a partition changes, by whatever process: one thread, however many topics there are.
//!
//! On Linux the system reports changes (inotify). Where it cannot, because another machine changes the file or the
//! system has no more watches, the thread polls those ends every 50 ms. With nothing to poll it sleeps until something
//! changes.

use crate::end::END_BYTES_MAX;
use crate::notices::{ChangeSource, Notices};
use dataflow::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// How often ends are read whose changes the system does not report.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Wakes a waker until it is dropped.
#[derive(Debug)]
pub(crate) struct WatchGuard {
    watcher: &'static Watcher,
    number: u64,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.watcher.remove(self.number);
    }
}

/// Calls the waker whenever the file changes from here on: a read after this call misses nothing.
pub(crate) fn watch(end: &Path, waker: &Waker) -> Result<WatchGuard> {
    let watcher = Watcher::of_process()?;
    let number = watcher.add(end, waker)?;
    Ok(WatchGuard { watcher, number })
}

/// Why ends in a folder are polled every 50 ms, if any are.
pub(crate) fn polling_reason(folder: &Path) -> Option<String> {
    let watcher = WATCHER.get()?;
    let state = watcher.state();
    state.polled.values().find(|end| end.path.starts_with(folder)).map(|end| end.reason.clone())
}

static WATCHER: OnceLock<Watcher> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

#[derive(Debug)]
struct Watcher {
    notices: Notices,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    added: u64,
    // By the system's number of the watch: whom to wake. Readers of one partition share a watch.
    inotify_watches: BTreeMap<i32, Vec<(u64, Waker)>>,
    polled: BTreeMap<u64, PolledFile>,
}

/// An end whose changes the system does not report.
#[derive(Debug)]
struct PolledFile {
    path: PathBuf,
    reason: String,
    content: Vec<u8>,
    waker: Waker,
}

impl Watcher {
    /// The watcher of this process, with its thread running.
    fn of_process() -> Result<&'static Watcher> {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = WATCHER.get() {
            return Ok(watcher);
        }
        let failed = |e| Error::unavailable("cannot watch topics for new messages").with_source(e);
        let notices = Notices::new().map_err(failed)?;
        let watcher = WATCHER.get_or_init(|| Watcher { notices, state: Mutex::default() });
        std::thread::Builder::new().name("topic-watcher".to_owned()).spawn(|| watcher.run()).map_err(failed)?;
        Ok(watcher)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, path: &Path, waker: &Waker) -> Result<u64> {
        // The thread finds whom to wake under this lock, so a change between the two steps is not lost.
        let mut state = self.state();
        let source = self.notices.watch(path)?;
        Ok(self.keep(&mut state, source, path, waker))
    }

    fn keep(&self, state: &mut State, source: ChangeSource, path: &Path, waker: &Waker) -> u64 {
        let number = state.added;
        state.added += 1;
        match source {
            ChangeSource::Inotify(watch) => {
                state.inotify_watches.entry(watch).or_default().push((number, waker.clone()))
            }
            ChangeSource::Polling(reason) => {
                state.poll_file(number, path, reason, waker);
                // The thread sleeps without a timeout while there is nothing to poll.
                self.notices.ring();
            }
        }
        number
    }

    fn remove(&self, number: u64) {
        let mut state = self.state();
        if state.polled.remove(&number).is_some() {
            return;
        }
        let found = state.inotify_watches.iter_mut().find_map(|(watch, wakers)| {
            let before = wakers.len();
            wakers.retain(|(of, _)| *of != number);
            (wakers.len() < before).then_some((*watch, wakers.is_empty()))
        });
        if let Some((watch, true)) = found {
            state.inotify_watches.remove(&watch);
            self.notices.forget(watch);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "waits for the file system, whose changes have no other clock")]
    fn run(&self) {
        let mut looked = Instant::now();
        loop {
            let looks = !self.state().polled.is_empty();
            let changed = self.notices.wait(looks.then(|| POLL_INTERVAL.saturating_sub(looked.elapsed())));
            let mut wakers = self.state().wakers_of(changed.as_deref());
            if looks && looked.elapsed() >= POLL_INTERVAL {
                looked = Instant::now();
                wakers.extend(self.state().look());
            }
            // Outside the lock: what a waker does may drop a reader.
            wakers.iter().for_each(Waker::wake_by_ref);
        }
    }
}

impl State {
    /// Whom to wake for watches that reported a change; everyone when it is not known which did.
    fn wakers_of(&self, changed: Option<&[i32]>) -> Vec<Waker> {
        let wakers: Vec<&Vec<(u64, Waker)>> = match changed {
            Some(changed) => changed.iter().filter_map(|watch| self.inotify_watches.get(watch)).collect(),
            None => self.inotify_watches.values().collect(),
        };
        wakers.into_iter().flatten().map(|(_, waker)| waker.clone()).collect()
    }

    fn poll_file(&mut self, number: u64, path: &Path, reason: String, waker: &Waker) {
        let end = PolledFile { path: path.to_owned(), reason, content: content(path), waker: waker.clone() };
        self.polled.insert(number, end);
    }

    /// Whom to wake for ends that say something new.
    fn look(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for end in self.polled.values_mut() {
            let content = content(&end.path);
            if content != end.content {
                end.content = content;
                wakers.push(end.waker.clone());
            }
        }
        wakers
    }
}

/// The content of a file. It is opened anew each time: network file systems show what others wrote when a file is
/// opened. One that cannot be read counts as empty; its reader reports why.
fn content(path: &Path) -> Vec<u8> {
    let mut bytes = vec![0; END_BYTES_MAX];
    let size = File::open(path).and_then(|file| file.read_at(&mut bytes, 0)).unwrap_or(0);
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;

    struct ToChannel(Mutex<Sender<()>>);

    impl Wake for ToChannel {
        fn wake(self: Arc<Self>) {
            let _ = self.0.lock().unwrap().send(());
        }
    }

    #[test]
    fn an_end_that_the_system_is_silent_about_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("end");
        std::fs::write(&path, b"0").unwrap();
        let (sender, woken) = channel();
        let waker = Waker::from(Arc::new(ToChannel(Mutex::new(sender))));
        let watcher = Watcher::of_process().unwrap();
        let source = ChangeSource::Polling("it lies far away".to_owned());
        let number = watcher.keep(&mut watcher.state(), source, &path, &waker);
        assert_eq!(polling_reason(folder.path()).as_deref(), Some("it lies far away"));
        assert_eq!(polling_reason(&folder.path().join("other")), None);
        for round in 1..4 {
            std::fs::write(&path, round.to_string()).unwrap();
            assert!(woken.recv_timeout(Duration::from_secs(30)).is_ok(), "change {round} was not seen");
        }
        drop(WatchGuard { watcher, number });
        assert_eq!(polling_reason(folder.path()), None);
        drop(waker);
        // The last reference is gone, so no one can wake it.
        assert!(woken.recv_timeout(Duration::from_secs(30)).is_err());
    }
}
