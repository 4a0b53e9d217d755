//! Checkpoints in a folder: what is there after each step, and what is said when it cannot be read.

use super::sample::{check_same, checkpoint, facts, go_on, group, names, open, uniform};
use crate::look;
use dataflow::{
    Checkpoint, CheckpointStore, ErrorKind, EventTime, Frozen, KeyGroups, PageAt, PageScope, Scope, StateWriter,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

fn first() -> Checkpoint {
    checkpoint(1, vec![uniform("all"), group(0, "a"), group(3, "")], vec![uniform("all"), group(255, "b")])
}

/// A folder with one checkpoint.
fn begun(folder: &Path) {
    let mut run = open(folder, 2).unwrap();
    assert!(run.newest().unwrap().is_none());
    run.begin(facts("counts")).unwrap();
    run.put(&first()).unwrap();
}

#[test]
fn a_later_run_goes_on_where_the_checkpoint_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("jobs/counts");
    assert!(look(&folder).unwrap().is_none());
    begun(&folder);
    let (mut run, restored) = go_on(&folder, 2).unwrap();
    check_same(&restored, &first());
    assert_eq!(run.epoch(), 2);
    let second = checkpoint(2, vec![group(0, "a"), group(3, "c")], vec![]);
    run.put(&second).unwrap();
    drop(run);
    check_same(&go_on(&folder, 2).unwrap().1, &second);
    let newest = look(&folder).unwrap().unwrap();
    assert_eq!((newest.number, newest.epoch, newest.coordinator.number), (4, 3, 2));
    assert_eq!((newest.facts, newest.outputs), (facts("counts"), second.outputs));
}

#[test]
fn what_has_not_changed_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    begun(folder.path());
    let before = names(folder.path());
    assert_eq!(
        before,
        ["epoch-0000000001", "lock", "manifest-0000000001", "state-0000000001-0000000001"],
        "a run leaves its epoch, the lock, and the checkpoint"
    );
    let (mut run, _) = go_on(folder.path(), 2).unwrap();
    run.put(&first()).unwrap();
    assert_eq!(
        names(folder.path()),
        ["epoch-0000000002", "lock", "manifest-0000000002", "manifest-0000000003", "state-0000000001-0000000001"]
    );
    // A piece that is there twice was written twice, and is named twice.
    assert_eq!(run.newest().unwrap().unwrap().state_bytes(), 8);
    run.put(&checkpoint(2, vec![group(0, "changed")], vec![])).unwrap();
    run.put(&checkpoint(3, vec![group(0, "changed")], vec![])).unwrap();
    assert_eq!(
        names(folder.path()),
        ["epoch-0000000002", "lock", "manifest-0000000004", "manifest-0000000005", "state-0000000002-0000000001"]
    );
}

#[test]
fn a_generation_that_begins_collects_what_was_before_it() {
    let folder = tempfile::tempdir().unwrap();
    begun(folder.path());
    let mut run = open(folder.path(), 5).unwrap();
    run.begin(facts("counts")).unwrap();
    assert_eq!(run.newest().unwrap().unwrap().number, 1, "until its first checkpoint the old one is there");
    run.put(&first()).unwrap();
    assert_eq!(names(folder.path())[2..], ["manifest-0000000002", "state-0000000002-0000000001"]);
}

#[test]
fn a_second_run_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let run = open(folder.path(), 1).unwrap();
    let error = open(folder.path(), 1).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let who = format!("are held by process {} since 2023-11-14 22:13:20, and only one run", std::process::id());
    assert!(error.to_string().contains(&who), "{error}");
    assert!(crate::is_held(folder.path()).unwrap());
    drop(run);
    assert!(!crate::is_held(folder.path()).unwrap() && !crate::is_held(&folder.path().join("none")).unwrap());
}

#[test]
fn a_run_that_has_a_successor_puts_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    begun(folder.path());
    let (mut older, _) = go_on(folder.path(), 1).unwrap();
    // Where the lock is not seen.
    std::fs::remove_file(folder.path().join("lock")).unwrap();
    let (mut younger, _) = go_on(folder.path(), 1).unwrap();
    younger.put(&first()).unwrap();
    for _ in 0..2 {
        let error = older.put(&checkpoint(2, vec![group(0, "zombie")], vec![])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("with epoch 3, which has taken over from this one with epoch 2"), "{error}");
    }
    younger.put(&first()).unwrap();
    drop(younger);
    check_same(&go_on(folder.path(), 1).unwrap().1, &first());
}

#[test]
fn damage_is_named_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    begun(folder.path());
    let state = folder.path().join("state-0000000001-0000000001");
    let bytes = std::fs::read(&state).unwrap();
    let refused = |text: &str| {
        let error = go_on(folder.path(), 2).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(text) && error.to_string().contains("--fresh"), "{error}");
    };
    let changed: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
    std::fs::write(&state, changed).unwrap();
    refused("state-0000000001-0000000001\" is damaged: the checksum of bytes 0 to 3 is 4027");
    std::fs::write(&state, &bytes[1..]).unwrap();
    refused("state-0000000001-0000000001\" has 7 bytes, expected 8");
    std::fs::remove_file(&state).unwrap();
    refused("state-0000000001-0000000001\" is gone");
    std::fs::write(&state, &bytes).unwrap();
    check_same(&go_on(folder.path(), 2).unwrap().1, &first());
}

#[test]
fn a_damaged_manifest_is_refused_and_can_be_begun_over() {
    let folder = tempfile::tempdir().unwrap();
    begun(folder.path());
    let manifest = folder.path().join("manifest-0000000001");
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    let mut run = open(folder.path(), 2).unwrap();
    let error = run.newest().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("manifest-0000000001\" is damaged: its checksum is "), "{error}");
    run.begin(facts("counts")).unwrap();
    run.put(&first()).unwrap();
    assert_eq!(names(folder.path())[2..], ["manifest-0000000002", "state-0000000002-0000000001"]);
}

/// Pages of a log whose bytes are made when they are asked for.
struct Pages {
    numbers: Vec<(u64, u32)>,
    asked: Arc<AtomicUsize>,
}

impl Frozen for Pages {
    fn write(&self, out: &mut dyn StateWriter) -> dataflow::Result<()> {
        let groups = KeyGroups { from: 4, to: 6 };
        self.numbers.iter().try_for_each(|&(number, first)| {
            out.put_page(&PageAt { number, first, watermark: EventTime(7) }, &|| {
                self.asked.fetch_add(1, Relaxed);
                Ok((groups, format!("page {number} of a log").into_bytes()))
            })
        })
    }
}

#[test]
fn a_page_is_written_once_and_only_named_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let with = |number, numbers: &[(u64, u32)]| {
        let pages = Pages { numbers: numbers.to_vec(), asked: asked.clone() };
        let mut checkpoint = checkpoint(number, vec![], vec![]);
        checkpoint.steps[0].state = Arc::new(pages);
        checkpoint
    };
    let mut run = open(folder.path(), 2).unwrap();
    run.begin(facts("counts")).unwrap();
    run.put(&with(1, &[(8, 0), (9, 0)])).unwrap();
    assert_eq!(asked.load(Relaxed), 2);
    let before = names(folder.path());
    run.put(&with(2, &[(8, 3), (9, 0)])).unwrap();
    assert_eq!(asked.load(Relaxed), 2, "neither has changed");
    let states = |names: Vec<String>| names.into_iter().filter(|name| name.starts_with("state")).collect::<Vec<_>>();
    assert_eq!(states(names(folder.path())), states(before));
    // One has gone, and one is new.
    run.put(&with(3, &[(9, 1), (10, 0)])).unwrap();
    assert_eq!(asked.load(Relaxed), 3);
    drop(run);
    let (mut run, restored) = go_on(folder.path(), 2).unwrap();
    let page = |first| PageScope { groups: KeyGroups { from: 4, to: 6 }, first, watermark: EventTime(7) };
    let pieces = [(9, 1), (10, 0)]
        .map(|(number, first): (u64, u32)| (Scope::Page(page(first)), format!("page {number} of a log").into_bytes()));
    assert_eq!(super::sample::all(&restored.steps[0].state), pieces);
    // Numbers are those of a process: what another one has called so may be something else.
    run.put(&with(4, &[(9, 1)])).unwrap();
    assert_eq!(asked.load(Relaxed), 4);
}
