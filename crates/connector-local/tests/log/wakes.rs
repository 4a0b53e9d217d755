//! Readers are woken when their partition changes, by any process, and miss nothing.

use crate::processes::child_at;
use crate::{append, payloads, topics};
use connector_local::Watch;
use dataflow::Topic;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Wake, Waker};
use std::time::Duration;

/// How long a test waits before it says that a wake was lost.
const LOST: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Flag {
    up: Mutex<bool>,
    raised: Condvar,
}

impl Flag {
    /// Waits for the flag and takes it down; false when it never came.
    fn take(&self) -> bool {
        let up = self.up.lock().unwrap();
        let (mut up, waited) = self.raised.wait_timeout_while(up, LOST, |up| !*up).unwrap();
        *up = false;
        !waited.timed_out()
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        *self.up.lock().unwrap() = true;
        self.raised.notify_all();
    }
}

/// The threads of this process that watch topics.
fn watchers() -> Vec<PathBuf> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let name = |thread: &PathBuf| std::fs::read_to_string(thread.join("comm")).unwrap_or_default();
    threads.filter(|thread| name(thread).trim() == "topic-watcher").collect()
}

const IDLE: &str = "RIVERRUN_LOG_TEST_IDLE";

/// Runs as a test that does nothing, unless it was started by the test below, alone in its process.
#[test]
fn idles_as_a_child_process() {
    if std::env::var(IDLE).is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let (flag, mut logs) = (Arc::new(Flag::default()), Vec::new());
    for name in ["accounts", "reports", "messages", "plays"] {
        let topic = topics.create(name, 4).unwrap();
        logs.extend((0..4).map(|partition| topic.open(partition, None).unwrap()));
    }
    logs.iter_mut().for_each(|log| log.wake(&Waker::from(flag.clone())).unwrap());
    append(&mut topics.producer("plays", "p", 0).unwrap(), 0, &[(1, "a")]);
    assert!(flag.take());
    let (_sender, nothing) = channel::<()>();
    let turns = || {
        let status = std::fs::read_to_string(watchers()[0].join("status")).unwrap();
        let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        waits.unwrap().trim().parse::<u64>().unwrap()
    };
    // Its last turn may still be under way.
    assert!(nothing.recv_timeout(Duration::from_millis(200)).is_err());
    let before = turns();
    assert!(nothing.recv_timeout(Duration::from_millis(500)).is_err());
    for log in &mut logs {
        log.end().unwrap();
        log.read(10, 1000).unwrap();
    }
    assert_eq!(turns(), before, "the thread was to sleep");
}

#[test]
fn watching_costs_nothing_while_nothing_comes() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "wakes::idles_as_a_child_process"])
        .env(IDLE, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

#[test]
fn a_reader_that_reads_only_when_woken_reads_everything() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let mut silent = Vec::new();
    for name in ["accounts", "reports", "messages"] {
        let topic = topics.create(name, 4).unwrap();
        silent.extend((0..4).map(|partition| topic.open(partition, None).unwrap()));
    }
    let never = Arc::new(Flag::default());
    silent.iter_mut().for_each(|log| log.wake(&Waker::from(never.clone())).unwrap());
    let mut log = topics.create("plays", 1).unwrap().open(0, None).unwrap();
    let flag = Arc::new(Flag::default());
    log.wake(&Waker::from(flag.clone())).unwrap();
    let mut writing = child_at(folder.path(), "one", 2000, "wall");
    let mut seen = Vec::new();
    while seen.len() < 2000 {
        assert!(flag.take(), "a wake was lost after {} messages", seen.len());
        loop {
            let some = log.read(100, 1 << 20).unwrap();
            if some.is_empty() {
                break;
            }
            seen.extend(some);
        }
    }
    assert!(writing.wait().unwrap().success());
    assert_eq!(payloads(&seen), (0..2000).map(|n| format!("one {n}")).collect::<Vec<_>>());
    assert!(!*never.up.lock().unwrap(), "a reader was woken by another partition");
    assert_eq!(watchers().len(), 1);
    assert_eq!(topics.watched_by_polling(), None);
    drop(silent);
    assert_eq!(Arc::strong_count(&never), 1, "a reader that is gone is forgotten");
}

#[test]
fn readers_of_one_partition_are_woken_each_until_they_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let topic = topics.create("plays", 1).unwrap();
    let flags: Vec<_> = (0..3).map(|_| Arc::new(Flag::default())).collect();
    let mut logs: Vec<_> = flags.iter().map(|_| topic.open(0, None).unwrap()).collect();
    for (log, flag) in logs.iter_mut().zip(&flags) {
        log.wake(&Waker::from(flag.clone())).unwrap();
    }
    drop(logs.remove(1));
    assert_eq!(Arc::strong_count(&flags[1]), 1);
    append(&mut topics.producer("plays", "p", 0).unwrap(), 0, &[(1, "a")]);
    assert!(flags[0].take() && flags[2].take());
    assert!(!*flags[1].up.lock().unwrap());
}

#[test]
fn whoever_watches_waits_for_any_partition() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let topic = topics.create("plays", 3).unwrap();
    let mut watches: Vec<_> = (0..3).map(|partition| topic.watch(partition, None).unwrap()).collect();
    assert!(!Watch::wait_any(&mut watches, Duration::from_millis(1)).unwrap());
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    for round in 0..20 {
        std::thread::scope(|scope| {
            scope.spawn(|| append(&mut producer, round as u32 % 3, &[(round, "x")]));
            assert!(Watch::wait_any(&mut watches, LOST).unwrap());
        });
        let seen: Vec<_> = watches.iter_mut().flat_map(|watch| watch.next(10).unwrap()).collect();
        assert_eq!(seen.len(), 1);
    }
    append(&mut producer, 0, &[(100, "y")]);
    assert!(watches[0].wait(LOST).unwrap(), "what is there already is not waited for");
    assert!(!watches[1].wait(Duration::from_millis(1)).unwrap());
}
