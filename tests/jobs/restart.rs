//! A job that was stopped goes on, and one that starts over gives the same: the same tables, nothing of others touched, a
//! new epoch.

use dataflow::{EventTime, Message};
use project::{ArchiveEnd, Begin, JobOptions, Project, Wired};
use sql::Target;
use std::collections::BTreeMap;
use tests::{Chance, Place, Running, surplus, table_rows, told};

const START: i64 = 1_767_225_600_000_000;
const MESSAGES: usize = 400;

const SQL: &str = "
CREATE STREAM messages (id TEXT, sender BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY raw.messages LIVE messages;
ARCHIVE messages;

CREATE VIEW counted AS
SELECT id, sender, sent_at, count(*) OVER w AS n FROM messages
WINDOW w AS (PARTITION BY sender ORDER BY sent_at RANGE INTERVAL '1' MINUTE PRECEDING);

INSERT INTO lake.counted SELECT * FROM counted;

CREATE DECISION guard ON counted SUBJECT sender TO actions AS
  RULE burst WHEN n > 20 THEN 'slow_down';
";

fn place() -> Place {
    let place = Place::new("restart", SQL, &["dev".to_owned()], START);
    place.topics().create("messages", 2).unwrap();
    let mut chance = Chance::new(5);
    for number in 0..MESSAGES {
        place.advance(dataflow::Span(chance.between(0, 900_000)));
        let event = EventTime(place.now() - chance.between(0, 2_500_000));
        let sender = chance.below(6);
        let payload = format!(r#"{{"id":"m{number}","sender":{sender},"sent_at":"{event}"}}"#);
        place.put("messages", chance.below(2) as u32, &payload);
    }
    place
}

/// Archives the first half of each partition.
fn archive_half(place: &Place, project: &Project) {
    let half = |(partition, log): (usize, &Vec<Message>)| (partition as u32, log[log.len() / 2].position);
    let to: ArchiveEnd = place.messages("messages").iter().enumerate().map(half).collect();
    tests::archive(project, BTreeMap::from([("messages".to_owned(), to)])).unwrap();
}

fn job(project: &Project, begin: Begin, until_caught_up: bool) -> Result<Wired, String> {
    project.job(&Target::All, &JobOptions { until_caught_up, begin, from: None, ..JobOptions::default() }).map_err(told)
}

fn refusal(project: &Project) -> String {
    job(project, Begin::GoOn, true).err().unwrap_or_else(|| panic!("the job is not refused"))
}

fn tables(project: &Project) -> Vec<Vec<String>> {
    let warehouse = project.warehouse().unwrap();
    ["lake.counted", "guard__log"].iter().map(|table| table_rows(&warehouse, table)).collect()
}

/// The messages of the actions' topic by epoch, each in its sequence.
fn actions(project: &Project) -> BTreeMap<u64, Vec<String>> {
    let mut epochs = BTreeMap::<u64, Vec<String>>::new();
    for row in project.tail("actions", true).map_err(told).unwrap().next(10_000).unwrap() {
        let (producer, epoch) = row.producer.unwrap();
        assert_eq!(producer, "restart.actions");
        epochs.entry(epoch.unwrap()).or_default().push(String::from_utf8(row.message.payload).unwrap());
    }
    epochs.values_mut().for_each(|rows| rows.sort_unstable());
    epochs
}

/// What no run may touch: the rows of the history table, which gets nothing but a tag, and the input topic.
fn inputs(place: &Place, project: &Project) -> (Vec<String>, Vec<Vec<Message>>) {
    (table_rows(&project.warehouse().unwrap(), "raw.messages"), place.messages("messages"))
}

#[test]
fn a_stopped_job_goes_on_or_starts_over_and_gives_the_same() {
    let place = place();
    let project = place.project("dev");
    archive_half(&place, &project);
    let before = inputs(&place, &project);

    let mut stopped = Running::new(job(&project, Begin::GoOn, false).unwrap(), 2, 3);
    let mut polls = 0;
    // Far enough that rows have come out: all readers have looked at what they have.
    let is_on_its_way =
        |counts: seam::Counts| counts.history_rows >= MESSAGES as u64 / 3 && counts.watermark > EventTime::MIN;
    while !is_on_its_way(stopped.counts("messages")) {
        stopped.driver.step().unwrap();
        polls += 1;
        assert!(polls < 100_000, "history is not read");
    }
    stopped.driver.control().finish();
    let read = stopped.run_to_end().unwrap().counts("messages");
    assert!(read.history_rows + read.live_rows < MESSAGES as u64, "it was stopped on its way: {read:?}");
    let partly = tables(&project);

    let start = Running::new(job(&project, Begin::GoOn, true).unwrap(), 1, 0).run_to_end().unwrap().start;
    let whole = tables(&project);
    assert!(whole[0].len() > MESSAGES * 9 / 10 && whole[0].len() == whole[1].len(), "{}", whole[0].len());
    let lens = [partly[0].len(), whole[0].len()];
    assert!(0 < lens[0] && lens[0] < lens[1], "{lens:?}, {read:?}");
    for (partly, whole) in partly.iter().zip(&whole) {
        assert_eq!(surplus(partly, whole), Vec::<&String>::new(), "a stopped run wrote other rows, or rows twice");
    }

    let again = Running::new(job(&project, Begin::Fresh, true).unwrap(), 4, 1).run_to_end().unwrap();
    assert_eq!(tables(&project), whole);
    assert_eq!(again.start, start);

    let epochs = actions(&project);
    let written = epochs.keys().rev().take(2).map(|epoch| epochs[epoch].len()).collect::<Vec<_>>();
    assert!(written[0] > 0, "the decision acts");
    let last = *epochs.keys().next_back().unwrap();
    assert_eq!(epochs[&last], epochs[&(last - 1)], "each epoch holds all actions");
    assert_eq!(inputs(&place, &project), before, "inputs stay as they are");
}

/// As when somebody has removed the folder of the checkpoints.
fn forget_checkpoints(place: &Place) {
    std::fs::remove_dir_all(place.path().join("dev/_riverrun/checkpoints")).unwrap();
}

#[test]
fn without_checkpoints_outputs_that_hold_rows_are_enough_to_refuse() {
    let place = place();
    let project = place.project("dev");
    archive_half(&place, &project);
    Running::new(job(&project, Begin::GoOn, true).unwrap(), 1, 0).run_to_end().unwrap();
    assert_eq!(actions(&project).into_keys().collect::<Vec<_>>(), [1]);
    let warehouse = project.warehouse().unwrap();
    forget_checkpoints(&place);
    let refused = refusal(&project);
    assert!(refused.contains("lake.counted holds") && refused.contains("--fresh"), "{refused}");
    // Somebody has dropped the tables with a tool of theirs.
    let catalog = rusqlite::Connection::open(warehouse.dir().join("catalog.db")).unwrap();
    assert_eq!(catalog.execute("DELETE FROM iceberg_tables WHERE table_namespace <> 'raw'", []).unwrap(), 2);
    let refused = refusal(&project);
    assert!(refused.contains("topic actions holds") && refused.contains("epoch 1"), "{refused}");
    assert!(!warehouse.exists("lake.counted").unwrap(), "a refused job makes nothing");
    Running::new(job(&project, Begin::Fresh, true).unwrap(), 1, 0).run_to_end().unwrap();
    assert_eq!(actions(&project).into_keys().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_run_that_starts_over_and_is_killed_goes_on_with_its_new_tables() {
    let place = place();
    let project = place.project("dev");
    Running::new(job(&project, Begin::GoOn, true).unwrap(), 1, 0).run_to_end().unwrap();
    let whole = tables(&project);
    let mut killed = Running::new(job(&project, Begin::Fresh, true).unwrap(), 2, 5);
    while killed.counts("messages").live_rows < MESSAGES as u64 / 2 {
        killed.driver.control().commit();
        for _ in 0..20 {
            killed.driver.step().unwrap();
        }
    }
    drop(killed);
    assert_eq!(tables(&project), whole, "until the new ones take their places");
    let uuids = |project: &Project| {
        let warehouse = project.warehouse().unwrap();
        ["lake.counted", "guard__log"].map(|table| warehouse.metadata_file(table).unwrap().parent().unwrap().to_owned())
    };
    let before = uuids(&project);
    Running::new(job(&place.project("dev"), Begin::GoOn, true).unwrap(), 3, 6).run_to_end().unwrap();
    assert_eq!(tables(&project), whole);
    let after = uuids(&project);
    assert!(before[0] != after[0] && before[1] != after[1], "both are new: {before:?}, {after:?}");
}

#[test]
fn a_table_that_was_dropped_since_the_checkpoint_is_refused_by_name() {
    let place = place();
    let project = place.project("dev");
    Running::new(job(&project, Begin::GoOn, true).unwrap(), 1, 0).run_to_end().unwrap();
    let catalog = rusqlite::Connection::open(project.warehouse().unwrap().dir().join("catalog.db")).unwrap();
    assert_eq!(catalog.execute("DELETE FROM iceberg_tables WHERE table_name = 'counted'", []).unwrap(), 1);
    let refused = refusal(&project);
    assert!(
        refused.contains("there is no table \"lake.counted\" any more") && refused.contains("--fresh"),
        "{refused}"
    );
}

#[test]
fn a_job_that_has_changed_is_refused_and_one_that_reads_the_same_is_not() {
    let place = place();
    Running::new(job(&place.project("dev"), Begin::GoOn, true).unwrap(), 1, 0).run_to_end().unwrap();
    let pipeline = place.path().join("pipelines/all.sql");
    let write = |text: String| std::fs::write(&pipeline, text).unwrap();
    for (from, to) in [
        ("n > 20", "n > 21"),
        ("INTERVAL '2' SECOND", "INTERVAL '3' SECOND"),
        ("INTERVAL '1' MINUTE", "INTERVAL '2' MINUTE"),
        ("'slow_down'", "'block'"),
        ("SELECT * FROM counted", "SELECT id, n FROM counted"),
        ("LIVE messages;", "LIVE messages;\nINSERT INTO lake.more SELECT id FROM messages;"),
    ] {
        assert!(SQL.contains(from), "{from}");
        write(SQL.replacen(from, to, 1));
        let refused = refusal(&place.project("dev"));
        assert!(
            refused.contains("the job has changed since its checkpoint") && refused.contains("--fresh"),
            "{refused}"
        );
    }
    write(SQL.replacen("SUBJECT sender", "SUBJECT id", 1));
    let refused = refusal(&place.project("dev"));
    assert!(
        refused.contains("column \"subject\" is") && refused.contains("the job writes") && refused.contains("--fresh"),
        "{refused}"
    );
    write(format!(
        "-- What counts.\n{}",
        SQL.replace("count(*) OVER w AS n", "count( * )   OVER w AS n -- all of them\n")
    ));
    Running::new(job(&place.project("dev"), Begin::GoOn, true).unwrap(), 1, 0).run_to_end().unwrap();
}
