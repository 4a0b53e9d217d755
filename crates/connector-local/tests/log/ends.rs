//! Asking for the end of a partition: it changes nothing, needs no right to write, and waits for no producer.

use crate::{Wall, append, clock, payloads, read_all, topics};
use connector_local::Topics;
use dataflow::{Clock, LogEnd, ManualClock, ProcessingTime, Span, Topic};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Every file below a folder, with its content and the time at which it was last changed.
pub fn everything(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let changed = std::fs::metadata(&path).unwrap().modified().unwrap();
            if path.is_dir() {
                found.insert(path.clone(), (Vec::new(), changed));
                folders.push(path);
            } else {
                found.insert(path.clone(), (std::fs::read(&path).unwrap(), changed));
            }
        }
    }
    found
}

/// The files below a folder that this process has opened to write.
fn opened_to_write(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let number = entry.unwrap().file_name().into_string().unwrap();
        let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        if path.starts_with(folder) && !flags.ends_with('0') {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_reader_changes_no_file_and_opens_none_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock(100);
    let topics = Topics::open(folder.path(), clock.clone()).unwrap();
    topics.create("plays", 2).unwrap();
    append(&mut topics.producer("plays", "p", 0).unwrap().with_segment_bytes(50), 0, &[(1, "a")]);
    append(&mut topics.producer("plays", "p", 0).unwrap().with_segment_bytes(50), 0, &[(2, "b")]);
    let before = everything(folder.path());
    let topic = topics.topic("plays").unwrap().unwrap();
    let mut logs = [topic.open(0, None).unwrap(), topic.open(1, None).unwrap()];
    for asked in 0..1000 {
        clock.advance(Span(1000));
        for log in &mut logs {
            assert_eq!(log.end().unwrap().drained_to, ProcessingTime(100 + 1000 * (asked + 1) - 1));
            log.read(10, 1000).unwrap();
        }
    }
    topic.ends().unwrap();
    assert_eq!(opened_to_write(folder.path()), Vec::<PathBuf>::new());
    assert!(everything(folder.path()) == before, "a file was changed");
}

const READ_ONLY_FOLDER: &str = "RIVERRUN_LOG_TEST_READ_ONLY";

/// Runs as a test that does nothing, unless it was started by the test below as a user who may only read.
#[test]
fn reads_as_a_child_without_rights() {
    let Ok(folder) = std::env::var(READ_ONLY_FOLDER) else { return };
    assert!(std::fs::write(Path::new(&folder).join("plays/0/end"), b"").is_err(), "this user was to have no rights");
    let topics = Topics::open(&folder, clock(5000)).unwrap();
    assert_eq!(payloads(&read_all(&topics, "plays", 0, None)), ["a"]);
    let topic = topics.topic("plays").unwrap().unwrap();
    let end = topic.open(0, None).unwrap().end().unwrap();
    // A message that a crash left after the end is stamped at or after the last one, and may be taken up later.
    assert_eq!((end.last.unwrap().entry, end.drained_to), (0, ProcessingTime(99)));
    assert_eq!(topic.open(1, None).unwrap().end().unwrap().drained_to, ProcessingTime(4999));
    let error = topics.producer("plays", "p", 0).unwrap().append(0, &[]).unwrap_err().to_string();
    assert!(error.contains("permission denied"), "{error}");
}

#[test]
fn a_topic_is_read_without_the_right_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("topics");
    let topics = topics(&here);
    topics.create("plays", 2).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    append(&mut producer, 0, &[(1, "a")]);
    let end = std::fs::read(here.join("plays/0/end")).unwrap();
    append(&mut producer, 0, &[(2, "b")]);
    std::fs::write(here.join("plays/0/end"), end).unwrap();
    let program = folder.path().join("reads");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let set = |path: &Path, mode: u32| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let before = everything(&here);
    let paths: Vec<_> = before.keys().cloned().collect();
    paths.iter().for_each(|path| set(path, if path.is_dir() { 0o555 } else { 0o444 }));
    [folder.path(), &here, &program].into_iter().for_each(|path| set(path, 0o755));
    let mut command = Command::new(&program);
    command.args(["--exact", "ends::reads_as_a_child_without_rights"]).env(READ_ONLY_FOLDER, &here);
    if std::fs::write(here.join("plays/0/lock"), b"").is_ok() {
        // Root may write whatever the modes say, so the child becomes nobody.
        command.uid(65534);
    }
    let output = command.output().unwrap();
    paths.iter().filter(|path| path.is_dir()).for_each(|path| set(path, 0o755));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let after = everything(&here);
    assert!(before.keys().all(|path| path.ends_with("lock") || before[path] == after[path]), "a file was changed");
}

/// A clock that stops the append that reads it, until it is told to go on.
struct InAppend {
    inside: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Clock for InAppend {
    fn now(&self) -> ProcessingTime {
        self.inside.lock().unwrap().send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        ProcessingTime(7000)
    }
}

#[test]
fn an_answer_does_not_wait_for_an_append() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock(100);
    let topics = Topics::open(folder.path(), clock.clone()).unwrap();
    let topic = topics.create("plays", 1).unwrap();
    append(&mut topics.producer("plays", "p", 0).unwrap(), 0, &[(1, "a")]);
    let mut log = topic.open(0, None).unwrap();
    clock.advance(Span(500));
    let first = log.end().unwrap();
    assert_eq!(first.drained_to, ProcessingTime(599));
    let ((inside, was_inside), (go, goes)) = (channel(), channel());
    let slow =
        Topics::open(folder.path(), Arc::new(InAppend { inside: Mutex::new(inside), go: Mutex::new(goes) })).unwrap();
    let writing = std::thread::spawn(move || append(&mut slow.producer("plays", "q", 0).unwrap(), 0, &[(1, "b")]));
    was_inside.recv().unwrap();
    let (answered, answers) = channel();
    let asking = std::thread::spawn(move || {
        for _ in 0..1000 {
            clock.advance(Span(1_000_000));
            let _ = answered.send(log.end().unwrap());
        }
        log
    });
    let hour = Duration::from_secs(20);
    let standing: Vec<LogEnd> = (0..1000).map_while(|_| answers.recv_timeout(hour).ok()).collect();
    // A reader that was never answered waits, and then knows of the message.
    let waiting = std::thread::spawn(move || topic.open(0, None).unwrap().end().unwrap());
    go.send(()).unwrap();
    assert_eq!(standing, vec![first; 1000], "the answers stay true, and do not wait");
    assert_eq!(writing.join().unwrap(), 1);
    assert_eq!(waiting.join().unwrap().last.unwrap().entry, 1);
    let end = asking.join().unwrap().end().unwrap();
    assert_eq!((end.last.unwrap().entry, end.drained_to), (1, ProcessingTime(100 + 500 + 1_000_000_000 - 1)));
}

#[test]
fn a_producer_that_syncs_and_a_reader_that_asks_do_not_starve_each_other() {
    const APPENDS: u64 = 100;
    const ANSWERS: u64 = 1000;
    const GIVE_UP: u64 = 5_000_000;
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::open(folder.path(), Arc::new(Wall)).unwrap();
    let topic = topics.create("plays", 1).unwrap();
    let (appended, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut producer = topics.producer("plays", "p", 0).unwrap();
            while appended.load(Ordering::SeqCst) < APPENDS || answered.load(Ordering::SeqCst) < ANSWERS {
                let count = appended.fetch_add(1, Ordering::SeqCst);
                assert!(count < GIVE_UP, "the reader got no answers");
                append(&mut producer, 0, &[(count, "x")]);
            }
        });
        let mut log = topic.open(0, None).unwrap();
        let mut end = log.end().unwrap();
        while appended.load(Ordering::SeqCst) < APPENDS || answered.load(Ordering::SeqCst) < ANSWERS {
            assert!(answered.fetch_add(1, Ordering::SeqCst) < GIVE_UP, "the producer could not append");
            let newer = log.end().unwrap();
            assert!(newer.last >= end.last && newer.drained_to >= end.drained_to);
            end = newer;
        }
        assert!(end.last.is_some(), "the reader was to see something of it");
    });
}

/// A topic of format version 1, whose end has a floor for stamps, is read, settled and appended to.
#[test]
fn topics_of_version_1_load() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/version_1/plays");
    std::fs::create_dir_all(folder.path().join("plays/0")).unwrap();
    for path in everything(&sample).into_keys().filter(|path| path.is_file()) {
        std::fs::copy(&path, folder.path().join("plays").join(path.strip_prefix(&sample).unwrap())).unwrap();
    }
    let topics = Topics::open(folder.path(), Arc::new(ManualClock::new(ProcessingTime(2_000)))).unwrap();
    assert_eq!(payloads(&read_all(&topics, "plays", 0, None)), ["play 0", "play 1", "play 2"]);
    let end = topics.topic("plays").unwrap().unwrap().ends().unwrap()[0];
    assert_eq!((end.last.unwrap().ledger, end.drained_to), (1, ProcessingTime(1_999)));
    let mut producer = topics.producer("plays", "job/plays", 3).unwrap();
    assert_eq!(append(&mut producer, 0, &[(2, "play 2"), (3, "play 3")]), 1);
    let messages = read_all(&topics, "plays", 0, None);
    assert_eq!(payloads(&messages), ["play 0", "play 1", "play 2", "play 3"]);
    assert_eq!(messages[3].arrival, ProcessingTime(2_000));
    assert_eq!(topics.claim("plays", "job/plays").unwrap().epoch(), 4);
}
