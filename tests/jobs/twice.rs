//! Two runs of one job at once, with and without seeing each other's lock: no row twice, and one is refused by name.

use dataflow::Span;
use project::{Archive, ArchiveOptions, Begin, JobOptions, Project, Wired};
use sql::Target;
use std::collections::BTreeMap;
use std::io::ErrorKind::NotFound;
use std::time::Duration;
use tests::{Place, Running, table_rows, told};

const START: i64 = 1_767_225_600_000_000;
const MESSAGES: usize = 300;

const SQL: &str = "
CREATE STREAM messages (id TEXT, sender BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY raw.messages LIVE messages;
ARCHIVE messages;
INSERT INTO lake.copies SELECT id, sender, sent_at FROM messages;
";

fn place() -> Place {
    let place = Place::new("twice", SQL, &["dev".to_owned()], START);
    place.topics().create("messages", 2).unwrap();
    put(&place, 0..MESSAGES);
    place
}

fn put(place: &Place, numbers: std::ops::Range<usize>) {
    for number in numbers {
        place.advance(Span(10_000));
        let at = dataflow::EventTime(place.now());
        let payload = format!(r#"{{"id":"m{number}","sender":{},"sent_at":"{at}"}}"#, number % 7);
        place.put("messages", (number % 2) as u32, &payload);
    }
}

/// As on another machine, or after someone has cleaned up: nobody sees the locks that are held.
fn forget_locks(place: &Place) {
    std::fs::remove_dir_all(place.path().join("dev/.locks")).unwrap();
    let checkpoints = place.path().join("dev/_riverrun/checkpoints/project/lock");
    assert!(std::fs::remove_file(checkpoints).map_or_else(|error| error.kind() == NotFound, |()| true));
}

fn job(project: &Project, begin: Begin) -> Result<Wired, String> {
    project
        .job(&Target::All, &JobOptions { until_caught_up: true, begin, from: None, ..JobOptions::default() })
        .map_err(told)
}

fn archive(project: &Project) -> Result<Archive<'_>, String> {
    let options = ArchiveOptions { ends: BTreeMap::new(), commit_every: Duration::from_secs(3600) };
    Archive::open(project, options).map_err(told)
}

/// Reads what there is, without a commit.
fn read(archive: &mut Archive<'_>) {
    while !archive.step(Duration::ZERO).unwrap().caught_up {}
}

fn finish(archive: &mut Archive<'_>) -> Result<(), String> {
    archive.finish();
    while !archive.is_done() {
        archive.step(Duration::ZERO).map_err(|error| error.chain())?;
        archive.wait(Duration::from_millis(10));
    }
    Ok(())
}

fn ids(project: &Project, table: &str) -> usize {
    let rows = table_rows(&project.warehouse().unwrap(), table);
    let mut once = rows.clone();
    once.dedup();
    assert_eq!(rows, once, "a row is there twice");
    rows.len()
}

#[test]
fn a_second_job_is_refused_while_the_first_holds_its_tables() {
    let place = place();
    let (one, two) = (place.project("dev"), place.project("dev"));
    let first = job(&one, Begin::GoOn).unwrap();
    for begin in [Begin::GoOn, Begin::Fresh] {
        let refused = job(&two, begin).err().expect("the tables are claimed");
        assert!(refused.contains("are held by process"), "{refused}");
    }
    Running::new(first, 2, 1).run_to_end().unwrap();
    assert_eq!(ids(&one, "lake.copies"), MESSAGES);
    // One that goes on from the end has nothing to do.
    Running::new(job(&two, Begin::GoOn).unwrap(), 3, 1).run_to_end().unwrap();
    assert_eq!(ids(&one, "lake.copies"), MESSAGES);
    Running::new(job(&two, Begin::Fresh).unwrap(), 1, 2).run_to_end().unwrap();
    assert_eq!(ids(&one, "lake.copies"), MESSAGES);
}

#[test]
fn of_two_jobs_that_see_no_locks_the_older_is_fenced() {
    for begin in [Begin::GoOn, Begin::Fresh] {
        let place = place();
        let (one, two) = (place.project("dev"), place.project("dev"));
        // Both start before either has written a row.
        let older = job(&one, Begin::GoOn).unwrap();
        forget_locks(&place);
        let younger = job(&two, begin).unwrap();
        let error = Running::new(older, 2, 3).run_to_end().err().expect("it is fenced").chain();
        let fenced = error.contains("fenced: epoch 2 of sink") && error.contains("lake.copies");
        assert!(fenced || error.contains("taken over from this one with epoch 1"), "{error}");
        Running::new(younger, 2, 4).run_to_end().unwrap();
        assert_eq!(ids(&one, "lake.copies"), MESSAGES);
    }
}

#[test]
fn a_second_archive_job_is_refused_while_the_first_runs() {
    let place = place();
    let (one, two) = (place.project("dev"), place.project("dev"));
    let mut first = archive(&one).unwrap();
    let refused = archive(&two).err().expect("the table is claimed");
    assert!(refused.contains("\"raw.messages\" is being written: process"), "{refused}");
    read(&mut first);
    finish(&mut first).unwrap();
    drop(first);
    put(&place, MESSAGES..MESSAGES + 10);
    let mut second = archive(&two).unwrap();
    read(&mut second);
    finish(&mut second).unwrap();
    assert_eq!(ids(&one, "raw.messages"), MESSAGES + 10);
}

#[test]
fn of_two_archive_jobs_that_see_no_locks_the_older_is_fenced() {
    let place = place();
    let (one, two) = (place.project("dev"), place.project("dev"));
    let mut older = archive(&one).unwrap();
    read(&mut older);
    forget_locks(&place);
    let mut younger = archive(&two).unwrap();
    read(&mut younger);
    let error = finish(&mut older).unwrap_err();
    assert!(error.contains("archive of messages") && error.contains("fenced: epoch 2"), "{error}");
    finish(&mut younger).unwrap();
    assert_eq!(ids(&one, "raw.messages"), MESSAGES);
}
