//! Savepoints in folders: whole or not there, and needed by nobody once a run has begun from one.

use super::objects::Objects;
use super::sample::{check_same, checkpoint, facts, group, names, open, uniform};
use crate::folder::Folder;
use crate::reading;
use crate::savepoint::write_objects;
use crate::store::Store;
use crate::{Checkpoints, JobFacts, PendingFiles, Savepoint, save_newest};
use dataflow::{CheckpointStore, ErrorKind, ManualClock, OutputState, ProcessingTime, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A job with a checkpoint, and a data file that it has pending.
fn begun(folder: &Path) -> (Checkpoints, PathBuf) {
    let file = folder.join("warehouse-e1-00000.parquet");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&file, "rows").unwrap();
    let mut run = open(&folder.join("job"), 1).unwrap();
    run.begin(facts("counts")).unwrap();
    run.put(&first_checkpoint()).unwrap();
    (run, file)
}

fn first_checkpoint() -> dataflow::Checkpoint {
    checkpoint(1, vec![uniform("all"), group(0, "a")], vec![uniform("all"), group(255, "b")])
}

fn pending(file: &Path) -> Box<PendingFiles> {
    let file = file.to_owned();
    Box::new(move |_: &OutputState| Ok(vec![file.clone()]))
}

#[test]
fn a_run_begins_from_a_savepoint_and_needs_it_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (mut run, file) = begun(folder.path());
    let to = folder.path().join("kept/before");
    let saved = run.save(&to, &*pending(&file)).unwrap();
    assert_eq!(saved.manifest.coordinator.number, 1);
    assert_eq!(names(&to), ["data-warehouse-e1-00000.parquet", "manifest-0000000001", "state-0000000001-0000000001"]);
    assert_eq!(names(&folder.path().join("kept")), ["before"]);
    // What comes after it is given up, and so is its state.
    for number in 2..5 {
        run.put(&checkpoint(number, vec![group(0, "other")], vec![])).unwrap();
    }
    drop(run);
    let saved = Savepoint::open(&to).unwrap();
    assert_eq!(std::fs::read(saved.data_copies(&[]).unwrap().file(&file)).unwrap(), b"rows");
    let mut run = open(&folder.path().join("job"), 1).unwrap();
    let restored = run.resume(&saved, &saved.manifest, &facts("counts")).unwrap();
    check_same(&restored, &first_checkpoint());
    std::fs::remove_dir_all(&to).unwrap();
    let newest = run.newest().unwrap().unwrap();
    assert_eq!((newest.number, newest.coordinator.number), (5, 1));
    drop(run);
    let (mut run, restored) = super::sample::go_on(&folder.path().join("job"), 1).unwrap();
    check_same(&restored, &first_checkpoint());
    // State that was copied is named like any other.
    run.put(&first_checkpoint()).unwrap();
    assert_eq!(
        names(&folder.path().join("job")),
        ["epoch-0000000003", "lock", "manifest-0000000007", "state-0000000002-0000000001"]
    );
}

#[test]
fn a_savepoint_of_a_job_that_was_begun_anew_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (run, file) = begun(folder.path());
    let to = folder.path().join("kept");
    run.save(&to, &*pending(&file)).unwrap();
    drop(run);
    let mut run = open(&folder.path().join("job"), 1).unwrap();
    run.begin(JobFacts { generation: 3, ..facts("counts") }).unwrap();
    run.put(&first_checkpoint()).unwrap();
    let before = names(&folder.path().join("job"));
    let saved = Savepoint::open(&to).unwrap();
    let error = run.resume(&saved, &saved.manifest, &facts("counts")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("was begun anew after this savepoint of checkpoint 1"), "{error}");
    assert_eq!(names(&folder.path().join("job")), before);
}

#[test]
fn a_savepoint_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (run, file) = begun(folder.path());
    let kept = folder.path().join("kept");
    let to = kept.join("first");
    // A folder is no file that can be copied.
    let failed = run.save(&to, &*pending(folder.path())).unwrap_err();
    assert!(failed.chain().contains("cannot copy \"") && failed.chain().contains("kept"), "{}", failed.chain());
    assert!(names(&kept).is_empty());
    assert!(Savepoint::open(&to).unwrap_err().to_string().contains("there is no savepoint in"));
    run.save(&to, &*pending(&file)).unwrap();
    let taken = run.save(&to, &*pending(&file)).unwrap_err();
    assert!(taken.to_string().contains("is there already"), "{taken}");
    // What a kill has left of another one goes with the next, and what is not ours stays.
    let own = format!(
        "{:016x}",
        xxhash_rust::xxh3::xxh3_64(format!("\"{}/\"", folder.path().join("job").display()).as_bytes())
    );
    for name in [format!(".unfinished-savepoint-{own}-1"), ".unfinished-savepoint-0000000000000000-1".to_owned()] {
        std::fs::create_dir(kept.join(&name)).unwrap();
        std::fs::write(kept.join(name).join("state-0000000001-0000000001"), "").unwrap();
    }
    run.save(&kept.join("second"), &*pending(&folder.path().join("gone.parquet"))).unwrap();
    assert!(names(&kept.join("second")).iter().all(|name| !name.starts_with("data-")));
    assert_eq!(names(&kept), [".unfinished-savepoint-0000000000000000-1", "first", "second"]);
    // One that has lost a file is refused before anything is put.
    drop(run);
    std::fs::remove_file(to.join("state-0000000001-0000000001")).unwrap();
    let mut run = open(&folder.path().join("job"), 1).unwrap();
    let saved = Savepoint::open(&to).unwrap();
    let lost = run.resume(&saved, &saved.manifest, &facts("counts")).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Corrupt);
    assert_eq!(run.newest().unwrap().unwrap().number, 1);
}

#[test]
fn the_newest_checkpoint_of_a_job_that_nobody_runs_can_be_saved() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(ProcessingTime(0));
    let (job, to) = (folder.path().join("job"), folder.path().join("kept"));
    let save = |file: &Path| save_newest(&job, &|_| Ok((&to).into()), &clock, &*pending(file));
    assert!(save(Path::new("x")).unwrap_err().to_string().contains("the job has not run"));
    let (run, file) = begun(folder.path());
    assert!(save(&file).unwrap_err().to_string().contains("are held by process"));
    drop(run);
    assert_eq!(save(&file).unwrap().path(), to);
    check_same(&super::sample::go_on(&job, 1).unwrap().1, &first_checkpoint());
}

/// Writes a savepoint of a run, whose job lies in a folder, into a store.
fn write_into(into: &Objects, run: &Checkpoints, folder: &Path, pending: &PendingFiles) -> Result<()> {
    let from = Folder::existing(&folder.join("job"))?;
    let newest = run.newest()?.expect("it has a checkpoint");
    write_objects(&from, &newest, (&"s3://lake/kept", into), pending)
}

#[test]
fn of_two_savepoints_that_are_written_to_one_place_of_a_store_at_once_one_is_refused_and_nothing_is_mixed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((first, file), (mut second, _)) = (begun(one.path()), begun(other.path()));
    second.put(&checkpoint(2, vec![group(0, "of another job")], vec![])).unwrap();
    let into = Arc::new(Objects::default());
    // While the first one is being written.
    let second = Arc::new(Mutex::new(second));
    let refused = Arc::new(Mutex::new(Vec::new()));
    let (of_second, told, rival, place) = (second.clone(), refused.clone(), other.path().to_owned(), into.clone());
    let meanwhile = move |_: &OutputState| {
        let written = write_into(&place, &of_second.lock().unwrap(), &rival, &|_| Ok(vec![]));
        told.lock().unwrap().push(written.unwrap_err().to_string());
        Ok(vec![file.clone()])
    };
    write_into(&into, &first, one.path(), &meanwhile).unwrap();
    let refused = std::mem::take(&mut *refused.lock().unwrap());
    assert!(!refused.is_empty());
    for error in refused {
        assert!(error.contains("another savepoint is being written to \"s3://lake/kept\""), "{error}");
    }
    let late = write_into(&into, &second.lock().unwrap(), other.path(), &|_| Ok(vec![]));
    let error = late.unwrap_err().to_string();
    assert!(error.contains("\"s3://lake/kept\" is there already"), "{error}");
    let there = ["begun", "data-warehouse-e1-00000.parquet", "manifest-0000000001", "state-0000000001-0000000001"];
    assert_eq!(into.list("").unwrap(), there);
    let saved = reading::newest(&*into).unwrap().unwrap();
    check_same(&reading::restore(&*into, &saved).unwrap(), &first_checkpoint());
}

#[test]
fn a_savepoint_in_a_store_that_fails_leaves_its_place_free() {
    let folder = tempfile::tempdir().unwrap();
    let (run, file) = begun(folder.path());
    let (from, into) = (Folder::existing(&folder.path().join("job")).unwrap(), Objects::default());
    let (newest, files) = (run.newest().unwrap().unwrap(), vec![file.clone(), folder.path().to_owned()]);
    let write = |pending: &PendingFiles| write_objects(&from, &newest, (&"s3://lake/kept", &into), pending);
    // A folder is no file that can be read.
    let failed = write(&move |_: &OutputState| Ok(files.clone())).unwrap_err();
    assert!(failed.chain().contains("cannot read \""), "{}", failed.chain());
    assert!(into.list("").unwrap().is_empty());
    write(&*pending(&file)).unwrap();
    // One of an older riverrun was not begun like this.
    into.delete("begun").unwrap();
    let taken = write(&*pending(&file)).unwrap_err().to_string();
    assert!(taken.contains("is there already"), "{taken}");
}

#[test]
fn a_savepoint_of_a_later_beginning_than_the_checkpoints_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (run, file) = begun(folder.path());
    let newest = run.newest().unwrap().unwrap();
    let mut saved = run.save(&folder.path().join("kept"), &*pending(&file)).unwrap().manifest;
    saved.facts.generation = newest.facts.generation + 2;
    let error = newest.check_same_generation(&saved).unwrap_err().to_string();
    assert!(error.contains("is of a later beginning of job") && !error.contains("anew"), "{error}");
}
