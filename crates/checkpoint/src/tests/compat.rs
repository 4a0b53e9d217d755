//! Checkpoints as earlier versions stored them are read.

use super::sample::{check_same, checkpoint, facts, go_on, group, open, uniform};
use crate::{JobFacts, JobPlan};
use dataflow::{Checkpoint, CheckpointStore, EventTime, Fate, JobRows, KeyGroups, PageScope, Scope};
use std::path::{Path, PathBuf};

fn sample() -> Checkpoint {
    let left = vec![uniform("all"), group(0, "a"), group(3, ""), group(7, &"long ".repeat(20))];
    Checkpoint { last: true, ..checkpoint(2, left, vec![uniform("all"), group(255, "b")]) }
}

fn stored(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/compat/checkpoint-{version}"))
}

/// What the first two versions stored of a job.
fn facts_without_plan() -> JobFacts {
    JobFacts { plan: JobPlan::default(), cuts: vec![], reads_from: None, ..facts("counts") }
}

/// What the version before this one did.
fn facts_without_states() -> JobFacts {
    let mut facts = facts("counts");
    facts.plan.steps.iter_mut().for_each(|step| step.state = None);
    facts
}

/// What the versions in between did.
fn facts_without_waits() -> JobFacts {
    let mut facts = facts_without_states();
    let feeds = facts.plan.outputs.iter_mut().flat_map(|output| &mut output.feeds);
    feeds.for_each(|feed| feed.wait = None);
    facts
}

/// The names and bytes of a checkpoint's files.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = super::sample::names(folder).into_iter();
    let files = names.filter(|name| name.starts_with("manifest") || name.starts_with("state"));
    files.map(|name| (name.clone(), std::fs::read(folder.join(&name)).unwrap())).collect()
}

#[test]
fn format_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&stored(1)) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let newest = crate::look(folder.path()).unwrap().unwrap();
    assert_eq!(newest.facts, facts_without_plan());
    // What became of rows was not stored.
    check_same(&go_on(folder.path(), 1).unwrap().1, &Checkpoint { rows: JobRows::default(), ..sample() });
}

#[test]
fn format_2_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&stored(2)) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    assert_eq!(crate::look(folder.path()).unwrap().unwrap().facts, facts_without_plan());
    check_same(&go_on(folder.path(), 1).unwrap().1, &sample());
}

#[test]
fn format_3_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&stored(3)) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    assert_eq!(crate::look(folder.path()).unwrap().unwrap().facts, facts_without_waits());
    check_same(&go_on(folder.path(), 1).unwrap().1, &sample());
}

/// With a page, as earlier formats had none.
fn sample_with_page() -> Checkpoint {
    let groups = KeyGroups { from: 3, to: 9 };
    let page = Scope::Page(PageScope { groups, first: 70_000, watermark: EventTime(10) });
    let left = vec![uniform("all"), (page, b"rows of a log".to_vec()), group(7, "a")];
    Checkpoint { last: true, ..checkpoint(2, left, vec![uniform("all"), group(255, "b")]) }
}

#[test]
fn format_4_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&stored(4)) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    assert_eq!(crate::look(folder.path()).unwrap().unwrap().facts, facts_without_waits());
    check_same(&go_on(folder.path(), 1).unwrap().1, &sample_with_page());
}

#[test]
fn format_5_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&stored(5)) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let newest = crate::look(folder.path()).unwrap().unwrap();
    assert_eq!((newest.facts, newest.last, newest.replays), (facts_without_states(), true, true));
    check_same(&go_on(folder.path(), 1).unwrap().1, &sample_with_page());
}

#[test]
fn format_6_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&stored(6)) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let newest = crate::look(folder.path()).unwrap().unwrap();
    assert_eq!((newest.facts, newest.last, newest.replays), (facts("counts"), true, true));
    check_same(&go_on(folder.path(), 1).unwrap().1, &sample_with_page());
}

/// With rows that were left out, as earlier formats counted none.
fn sample_with_left_out() -> Checkpoint {
    let mut sample = sample_with_page();
    sample.rows.steps[0].1.add(Fate::LeftOut, 3);
    sample
}

#[test]
fn format_7_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&stored(7)) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let newest = crate::look(folder.path()).unwrap().unwrap();
    assert_eq!((newest.facts, newest.last, newest.replays), (facts("counts"), true, true));
    check_same(&go_on(folder.path(), 1).unwrap().1, &sample_with_left_out());
}

#[test]
fn format_7_is_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), 1).unwrap();
    run.begin(facts("counts")).unwrap();
    run.put(&Checkpoint { replays: true, ..sample_with_left_out() }).unwrap();
    let (written, stored) = (files(folder.path()), files(&stored(7)));
    assert!(written == stored, "the format has changed, and needs a version: {}", folder.keep().display());
}
