//! A producer's name is held by one run at a time; where locks are not seen, epochs fence the older run.

use crate::{append, clock, payloads, read_all, topics};
use connector_local::{Outgoing, Topics};
use dataflow::{ErrorKind, ManualClock, ProcessingTime};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};

#[test]
fn a_second_run_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::open(folder.path(), clock(1_767_254_400_000_000)).unwrap();
    topics.create("actions", 2).unwrap();
    let first = topics.claim("actions", "dm.spam/λ").unwrap();
    assert_eq!(first.epoch(), 1);
    let error = topics.claim("actions", "dm.spam/λ").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let process = std::process::id();
    let at = ProcessingTime(1_767_254_400_000_000);
    assert_eq!(
        error.to_string(),
        format!(
            "topic \"actions\": producer \"dm.spam/λ\" is held by process {process} since {at}, and only one run may \
             write under a name: stop that run, or wait until it ends"
        )
    );
    let long = "x".repeat(250);
    let _other = topics.claim("actions", &long).unwrap();
    assert!(topics.claim("actions", &long).is_err());
    assert!(topics.claim("actions", &format!("{}y", &long[1..])).is_ok(), "another name is another claim");
    append(&mut first.producer().unwrap(), 1, &[(1, "a")]);
    drop(first);
    let second = topics.claim("actions", "dm.spam/λ").unwrap();
    assert_eq!(second.epoch(), 2);
    assert_eq!(topics.names().unwrap(), ["actions"]);
    assert!(topics.claim("nothing", "p").err().unwrap().to_string().contains("there is no topic \"nothing\""));
    assert!(topics.claim("actions", "").err().unwrap().to_string().contains("without a name"));
}

#[test]
fn a_claim_is_above_every_epoch_of_every_partition() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("actions", 3).unwrap();
    append(&mut topics.producer("actions", "p", 7).unwrap(), 2, &[(1, "a")]);
    append(&mut topics.producer("actions", "q", 70).unwrap(), 1, &[(1, "a")]);
    assert_eq!(topics.claim("actions", "p").unwrap().epoch(), 8);
    assert_eq!(topics.claim("actions", "p").unwrap().epoch(), 9, "also when nothing was written under it");
    assert_eq!(
        topics.producer("actions", "p", 0).unwrap().last_epoch().unwrap(),
        Some(7),
        "which says what was written"
    );
    append(&mut topics.producer("actions", "last", u64::MAX).unwrap(), 0, &[(1, "a")]);
    assert!(topics.claim("actions", "last").err().unwrap().to_string().contains("has used the last epoch"));
}

#[test]
fn the_older_of_two_that_do_not_see_each_other_is_fenced_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("actions", 3).unwrap();
    let older = topics.claim("actions", "p").unwrap();
    let mut old = older.producer().unwrap();
    append(&mut old, 0, &[(1, "a")]);
    std::fs::remove_file(folder.path().join("actions/producers/p.lock")).unwrap();
    let younger = topics.claim("actions", "p").unwrap();
    assert_eq!((older.epoch(), younger.epoch()), (1, 2));
    for partition in 0..3 {
        let message = [Outgoing { sequence: 9, key: None, payload: b"z", arrived: None }];
        let error = old.append(partition, &message).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "topic \"actions\": partition {partition}: producer \"p\" with epoch 1 is fenced: epoch 2 has taken over"
            )
        );
    }
    let mut young = younger.producer().unwrap();
    (0..3).for_each(|partition| assert_eq!(append(&mut young, partition, &[(1, "b")]), 1));
    assert_eq!(payloads(&read_all(&topics, "actions", 0, None)), ["a", "b"]);
    append(&mut topics.producer("actions", "other", 0).unwrap(), 0, &[(1, "c")]);
}

#[test]
fn claims_made_at_once_without_locks_get_different_epochs() {
    let folder = tempfile::tempdir().unwrap();
    topics(folder.path()).create("actions", 3).unwrap();
    let start = Barrier::new(6);
    let epochs: Vec<u64> = std::thread::scope(|scope| {
        let claiming: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let topics = topics(folder.path());
                    start.wait();
                    let mut epochs = Vec::new();
                    while epochs.len() < 10 {
                        let _ = std::fs::remove_file(folder.path().join("actions/producers/p.lock"));
                        epochs.extend(topics.claim("actions", "p").map(|claim| claim.epoch()));
                    }
                    epochs
                })
            })
            .collect();
        claiming.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(epochs.iter().collect::<BTreeSet<_>>().len(), 60, "{epochs:?}");
}

const CLAIM_FOLDER: &str = "RIVERRUN_LOG_TEST_CLAIM";

/// Runs as a test that does nothing, unless it was started by the test below: claims, says so, and waits to be killed.
#[test]
fn claims_as_a_child_process() {
    let Ok(folder) = std::env::var(CLAIM_FOLDER) else { return };
    let topics = Topics::open(folder, Arc::new(ManualClock::new(ProcessingTime(0)))).unwrap();
    let claim = topics.claim("actions", "p").unwrap();
    append(&mut claim.producer().unwrap(), 0, &[(1, "a")]);
    eprintln!("claimed {}", claim.epoch());
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn a_run_that_is_killed_gives_its_name_back() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("actions", 2).unwrap();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "claims::claims_as_a_child_process", "--nocapture"])
            .env(CLAIM_FOLDER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        assert!(lines.any(|line| line == format!("claimed {}", 2 * round + 1)));
        let error = topics.claim("actions", "p").err().unwrap().to_string();
        assert!(error.contains(&format!("is held by process {} since", child.id())), "{error}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(topics.claim("actions", "p").unwrap().epoch(), 2 * round + 2);
    }
    assert_eq!(read_all(&topics, "actions", 0, None).len(), 5);
}
