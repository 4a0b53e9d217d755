//! Savepoints in folders: whole or not there, and needed by nobody once a run has begun from one.

use super::sample::{check_same, checkpoint, facts, group, names, open, uniform};
use crate::{Checkpoints, JobFacts, PendingFiles, Savepoint, save_newest};
use dataflow::{CheckpointStore, ErrorKind, ManualClock, OutputState, ProcessingTime};
use std::path::{Path, PathBuf};

/// A job with a checkpoint, and a data file that it has pending.
fn begun(folder: &Path) -> (Checkpoints, PathBuf) {
    let file = folder.join("warehouse-e1-00000.parquet");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&file, "rows").unwrap();
    let mut run = open(&folder.join("job"), 1).unwrap();
    run.begin(facts("counts")).unwrap();
    run.put(&first()).unwrap();
    (run, file)
}

fn first() -> dataflow::Checkpoint {
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
    check_same(&restored, &first());
    std::fs::remove_dir_all(&to).unwrap();
    let newest = run.newest().unwrap().unwrap();
    assert_eq!((newest.number, newest.coordinator.number), (5, 1));
    drop(run);
    let (mut run, restored) = super::sample::go_on(&folder.path().join("job"), 1).unwrap();
    check_same(&restored, &first());
    // State that was copied is named like any other.
    run.put(&first()).unwrap();
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
    run.put(&first()).unwrap();
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
    check_same(&super::sample::go_on(&job, 1).unwrap().1, &first());
}
