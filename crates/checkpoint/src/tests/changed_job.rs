//! Jobs that go on with part of the state of a checkpoint.

use super::sample::{Pieces, all, checkpoint, facts, go_on, group, open, uniform};
use crate::{ChangedJob, Checkpoints, JobFacts, Manifest, MovedStep, Rewrite};
use dataflow::{
    CheckpointStore, ErrorKind, EventTime, Frozen, FrozenInput, Result, StateReader, StateWriter, StepState,
};
use std::path::Path;
use std::sync::Arc;

/// A stopped job with one step in two workers.
fn stopped(folder: &Path) -> Manifest {
    let mut run = open(folder, 3).unwrap();
    run.begin(facts("counts")).unwrap();
    let mut last = checkpoint(1, vec![uniform("all"), group(0, "a")], vec![uniform("all"), group(9, "b")]);
    last.last = true;
    run.put(&last).unwrap();
    run.newest().unwrap().unwrap()
}

fn changed_facts() -> JobFacts {
    JobFacts { fingerprint: "other".to_owned(), ..facts("counts") }
}

/// The step goes on under another name, and another one comes to it, which holds the same bytes.
fn change(before: &Manifest) -> ChangedJob {
    let state = Arc::new(Pieces(vec![group(0, "a"), group(0, "new")])) as Arc<dyn Frozen>;
    ChangedJob {
        coordinator: before.coordinator.clone(),
        kept: vec![("m.dedup[id]".to_owned(), "n.dedup[id]".to_owned())],
        moved: vec![],
        joined: vec![],
        built: vec![StepState { step: "n.window[id]".to_owned(), watermark: EventTime(4), state }],
        stateless: vec![("n".to_owned(), EventTime(4))],
        inputs: vec![
            ("n by id".to_owned(), Some("m by id".to_owned()), EventTime(4)),
            ("n".to_owned(), None, EventTime(4)),
        ],
        outputs: before.outputs.clone(),
        rows: before.rows.clone(),
    }
}

fn put(run: &mut Checkpoints, before: &Manifest) -> dataflow::Result<()> {
    let changed = run.changed(before, &changed_facts(), &change(before))?;
    // One whose answer was lost is put once more.
    run.put_changed(&changed)?;
    run.put_changed(&changed)
}

#[test]
fn kept_state_goes_on_beside_what_was_built() {
    let folder = tempfile::tempdir().unwrap();
    let before = stopped(folder.path());
    put(&mut open(folder.path(), 3).unwrap(), &before).unwrap();
    let newest = crate::look(folder.path()).unwrap().unwrap();
    assert_eq!((newest.number, newest.last, &newest.facts), (before.number + 1, true, &changed_facts()));
    let (_run, restored) = go_on(folder.path(), 3).unwrap();
    let found: Vec<_> =
        restored.steps.iter().map(|state| (state.step.as_str(), state.watermark, all(&state.state))).collect();
    let (left, right) = (vec![uniform("all"), group(0, "a")], vec![uniform("all"), group(9, "b")]);
    let (built, none) = (vec![group(0, "a"), group(0, "new")], vec![]);
    let expected = [
        ("n.dedup[id]", EventTime(10), left),
        ("n.dedup[id]", EventTime::MIN, right),
        ("n.window[id]", EventTime(4), built),
        ("n", EventTime(4), none),
    ];
    assert_eq!(found, expected);
    let given = |given| vec![FrozenInput { given: EventTime(given), is_absent: false }];
    assert_eq!(restored.inputs, [("n by id".to_owned(), given(5)), ("n".to_owned(), given(4))]);
    assert_eq!(restored.outputs, before.outputs);
    assert_eq!(restored.coordinator, before.coordinator);
}

#[test]
fn nothing_has_changed_before_it_is_put() {
    let folder = tempfile::tempdir().unwrap();
    let before = stopped(folder.path());
    let mut run = open(folder.path(), 3).unwrap();
    run.changed(&before, &changed_facts(), &change(&before)).unwrap();
    drop(run);
    let newest = crate::look(folder.path()).unwrap().unwrap();
    assert_eq!((newest.number, &newest.facts), (before.number, &before.facts));
    let (mut run, restored) = go_on(folder.path(), 1).unwrap();
    assert_eq!(restored.steps.len(), 2);
    // What was written for nothing goes with a later checkpoint.
    let files = |folder: &Path| super::sample::names(folder).iter().filter(|name| name.starts_with("state")).count();
    run.put(&checkpoint(2, vec![uniform("all")], vec![])).unwrap();
    let left = files(folder.path());
    let named = crate::look(folder.path()).unwrap().unwrap().files.len();
    assert_eq!(left, named, "{:?}", super::sample::names(folder.path()));
}

#[test]
fn what_was_written_for_nothing_goes_when_the_change_is_put() {
    let folder = tempfile::tempdir().unwrap();
    let before = stopped(folder.path());
    for _ in 0..3 {
        let mut killed = open(folder.path(), 1).unwrap();
        killed.changed(&before, &changed_facts(), &change(&before)).unwrap();
    }
    put(&mut open(folder.path(), 1).unwrap(), &before).unwrap();
    let names = super::sample::names(folder.path());
    let left = names.iter().filter(|name| name.starts_with("state")).count();
    assert_eq!(left, crate::look(folder.path()).unwrap().unwrap().files.len(), "{names:?}");
    assert_eq!(go_on(folder.path(), 1).unwrap().1.steps.len(), 4);
}

/// Writes the bytes of every piece twice.
struct Twice;

impl Rewrite for Twice {
    fn rewrite(&self, from: &mut dyn StateReader, to: &mut dyn StateWriter) -> Result<()> {
        while let Some((scope, bytes)) = from.next()? {
            to.put(scope, &[&bytes[..], &bytes[..]].concat())?;
        }
        Ok(())
    }
}

#[test]
fn state_is_written_otherwise_from_that_of_all_workers() {
    let folder = tempfile::tempdir().unwrap();
    let before = stopped(folder.path());
    let mut run = open(folder.path(), 3).unwrap();
    let step = |now: &str| MovedStep { was: "m.dedup[id]".to_owned(), now: now.to_owned(), rewrite: Box::new(Twice) };
    let (kept, moved, joined) = (vec![], vec![step("one")], vec![step("other")]);
    let changed = ChangedJob { kept, moved, joined, ..change(&before) };
    let changed = run.changed(&before, &changed_facts(), &changed).unwrap();
    run.put_changed(&changed).unwrap();
    drop(run);
    let (run, restored) = go_on(folder.path(), 3).unwrap();
    for name in ["one", "other"] {
        let step = restored.steps.iter().find(|state| state.step == name).unwrap();
        let expected = vec![uniform("allall"), group(0, "aa"), uniform("allall"), group(9, "bb")];
        assert_eq!((step.watermark, all(&step.state)), (EventTime::MIN, expected));
    }
    drop(run);
    let gone = MovedStep { was: "x".to_owned(), now: "y".to_owned(), rewrite: Box::new(Twice) };
    let gone = ChangedJob { moved: vec![gone], ..change(&before) };
    let refused = open(folder.path(), 3).unwrap().changed(&before, &changed_facts(), &gone).unwrap_err();
    assert!(refused.chain().contains("has nothing of step x"), "{}", refused.chain());
}

#[test]
fn a_run_that_has_a_successor_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let before = stopped(folder.path());
    let store: Arc<dyn crate::Store> = Arc::new(crate::Folder::existing(folder.path()).unwrap());
    let clock = Arc::new(dataflow::ManualClock::new(dataflow::ProcessingTime(1)));
    let unlocked = || Checkpoints::unlocked(store.clone(), 3, clock.clone(), Box::new(|_| {})).unwrap();
    let (mut older, mut newer) = (unlocked(), unlocked());
    newer.go_on(&before, &before.facts).unwrap();
    let refused = put(&mut older, &before).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{}", refused.chain());
    assert!(refused.chain().contains("has taken over"), "{}", refused.chain());
    assert_eq!(crate::look(folder.path()).unwrap().unwrap().facts, before.facts);
}

#[test]
fn what_the_checkpoint_does_not_have_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let before = stopped(folder.path());
    let mut run = open(folder.path(), 3).unwrap();
    let step = ChangedJob { kept: vec![("x".to_owned(), "y".to_owned())], ..change(&before) };
    let refused = run.changed(&before, &changed_facts(), &step).unwrap_err();
    assert!(refused.chain().contains("has nothing of step x"), "{}", refused.chain());
    let input = ("n by id".to_owned(), Some("x".to_owned()), EventTime(4));
    let input = ChangedJob { inputs: vec![input], ..change(&before) };
    let refused = run.changed(&before, &changed_facts(), &input).unwrap_err();
    assert!(refused.chain().contains("has nothing of input x"), "{}", refused.chain());
}
