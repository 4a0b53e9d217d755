//! What a change of the pipelines takes over that is not in the tables yet, not on the topics again, or not there any more.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use connector_iceberg::{TableClaim, TableOptions};
use connector_local::Outgoing;
use dataflow::{EventTime, Fate, ProcessingTime, Span};
use project::{Begin, JobOptions, Project, Rebuilding, Wired};
use sql::Target;
use tests::{Place, Running, all_rows, told};

const START: i64 = 1_767_225_600_000_000;
const SECOND: i64 = 1_000_000;
/// So small that each segment has a few messages.
const SEGMENT_BYTES: u64 = 300;

const STREAM: &str = "
CREATE STREAM reports (id BIGINT, sender BIGINT, reported_at TIMESTAMP,
  WATERMARK FOR reported_at AS reported_at - INTERVAL '1' SECOND
) LIVE reports;
";
const ALL: &str = "INSERT INTO lake.all SELECT id, sender FROM reports;\n";
const TOPIC: &str = "INSERT INTO TOPIC told SELECT id, sender FROM reports;\n";
const NEW: &str = "INSERT INTO lake.new SELECT id FROM reports;\n";

/// The table of a window over so many seconds.
fn counted(seconds: i64) -> String {
    format!(
        "INSERT INTO lake.counted SELECT id, count(*) OVER w AS n FROM reports
         WINDOW w AS (PARTITION BY sender ORDER BY reported_at RANGE INTERVAL '{seconds}' SECOND PRECEDING);\n"
    )
}

/// A job over one topic, a message of which comes every second.
struct Reports {
    place: Place,
    count: i64,
}

impl Reports {
    fn new(sql: &[&str]) -> Reports {
        Reports::beside(0, sql)
    }

    /// Beside so many partitions that never have a message.
    fn beside(others: u32, sql: &[&str]) -> Reports {
        let place = Place::new("taken", "", &["dev".to_owned()], START);
        place.topics().create("reports", 1 + others).unwrap();
        let reports = Reports { place, count: 0 };
        reports.write(sql);
        reports
    }

    fn write(&self, sql: &[&str]) {
        let sql: String = [STREAM].iter().chain(sql).copied().collect();
        std::fs::write(self.place.path().join("pipelines/all.sql"), sql).unwrap();
    }

    fn put(&mut self, count: i64) {
        self.put_at(count, 0);
    }

    /// Puts messages whose times lie so far after their arrival.
    fn put_at(&mut self, count: i64, after: i64) {
        let mut producer = self.place.topics().producer("reports", "", 0).unwrap().with_segment_bytes(SEGMENT_BYTES);
        for _ in 0..count {
            self.place.advance(Span(SECOND));
            let (id, at) = (self.count, EventTime(self.place.now() + after));
            let payload = format!(r#"{{"id":{id},"sender":1,"reported_at":"{at}"}}"#);
            let message = Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None };
            producer.append(0, &[message]).unwrap();
            self.count += 1;
        }
    }

    fn project(&self) -> Project {
        self.place.project("dev")
    }

    fn wired(&self, until_caught_up: bool) -> Result<Wired, String> {
        let options =
            JobOptions { until_caught_up, begin: Begin::GoOn, applies_changes: true, ..JobOptions::default() };
        self.project().job(&Target::All, &options).map_err(told)
    }

    fn running(&self) -> Running {
        Running::new(self.wired(false).unwrap(), 2, 7)
    }

    fn stopped(&self, mut running: Running) {
        running.settle().unwrap();
        running.driver.control().finish();
        running.run_to_end().unwrap();
    }

    fn newest(&self) -> checkpoint::Manifest {
        checkpoint::look(&self.project().checkpoints_path(None)).unwrap().expect("there are checkpoints")
    }

    /// Builds what changed steps lack; why no state is kept, where that is so.
    fn built(&self) -> Option<String> {
        let options = JobOptions { applies_changes: true, ..JobOptions::default() };
        match self.project().rebuild(&options, engine::state_memory).map_err(told).unwrap() {
            Rebuilding::Run(wired, _, lacking) => {
                let built = Running::new(*wired, 1, 3).run_to_end();
                assert_eq!(built.is_err(), lacking.why().is_some(), "{:?}", built.err().map(|error| error.chain()));
                lacking.why()
            }
            Rebuilding::Anew(why) => Some(why),
            Rebuilding::Done(_) | Rebuilding::Nothing => None,
        }
    }

    fn rows(&self, table: &str) -> usize {
        self.ids(table).len()
    }

    /// The ids of a table's rows, sorted.
    fn ids(&self, table: &str) -> Vec<i64> {
        let rows = all_rows(&self.project().warehouse().unwrap(), table);
        let ids = rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        let mut ids: Vec<i64> = ids.collect();
        ids.sort_unstable();
        ids
    }
}

/// Rows that wait come out with a later time, so that a table whose rows wait otherwise goes on elsewhere, also where no
/// step has changed but what it is fed from.
#[test]
fn rows_that_wait_otherwise_are_each_there_once() {
    const VIEW: &str = "CREATE VIEW labelled AS SELECT r.id, EXISTS (SELECT 1 FROM reports x WHERE x.sender = r.sender
        AND x.reported_at BETWEEN r.reported_at AND r.reported_at + INTERVAL '5' SECOND) AS label FROM reports r;\n";
    let tables =
        |a: &str, b: &str| format!("INSERT INTO lake.a SELECT id FROM {a};\nINSERT INTO lake.b SELECT id FROM {b};\n");
    let [before, after] = [tables("labelled", "reports"), tables("reports", "labelled")];
    let mut reports = Reports::new(&[VIEW, &before]);
    reports.put(30);
    reports.stopped(reports.running());
    assert!(reports.rows("lake.b") >= reports.rows("lake.a") + 5);
    reports.write(&[VIEW, &after]);
    assert!(reports.built().is_some_and(|why| why.contains("for another time than they did")));
    reports.put(30);
    reports.stopped(reports.running());
    for (table, least) in [("lake.a", 55), ("lake.b", 50)] {
        let ids = reports.ids(table);
        assert!(ids.iter().copied().eq(0..ids.len() as i64) && ids.len() >= least, "{table}: {ids:?}");
    }
}

/// A late row is written at once, with a time after what its stream has released.
#[test]
fn late_rows_are_not_written_again_where_all_else_is_read_again() {
    let late = STREAM.replace("INTERVAL '1' SECOND", "INTERVAL '1' SECOND QUIET NEVER LATE TO lake.late");
    let mut reports = Reports::new(&[ALL]);
    let write = |reports: &Reports, more: &str| {
        std::fs::write(reports.place.path().join("pipelines/all.sql"), format!("{late}{ALL}{more}")).unwrap();
    };
    write(&reports, "");
    reports.put(20);
    reports.put_at(10, -60 * SECOND);
    reports.stopped(reports.running());
    assert_eq!(reports.ids("lake.late"), (20..30).collect::<Vec<_>>());
    write(&reports, NEW);
    assert!(reports.built().is_some());
    reports.put_at(3, -60 * SECOND);
    reports.put(5);
    reports.stopped(reports.running());
    assert_eq!(reports.ids("lake.late"), (20..33).collect::<Vec<_>>());
}

/// Rows that are read again and that an output has are not counted as written to it.
#[test]
fn rows_that_an_earlier_plan_wrote_are_counted_as_left_out() {
    let mut reports = Reports::new(&[ALL]);
    reports.put(30);
    reports.stopped(reports.running());
    let there = reports.rows("lake.all") as i64;
    reports.write(&[ALL, NEW]);
    assert!(reports.built().is_some(), "a table that is new gets all rows");
    reports.put(5);
    reports.stopped(reports.running());
    let counts = |reports: &Reports| {
        let newest = reports.newest();
        let fates = newest.rows.steps.iter().find(|(step, _)| step == "into lake.all").map(|(_, fates)| *fates);
        fates.map(|fates| (fates.of(Fate::Out), fates.of(Fate::LeftOut))).expect("it is an output")
    };
    assert_eq!((reports.rows("lake.all") as i64, counts(&reports)), (there + 5, (there + 5, there)));
    // What goes on from there counts on.
    reports.put(5);
    reports.stopped(reports.running());
    assert_eq!((reports.rows("lake.all") as i64, counts(&reports)), (there + 10, (there + 10, there)));
}

/// Rows of a table that was taken out of the pipelines were in no table and on their way to none: the last checkpoint was
/// durable, and the commit after it had not been made.
#[test]
fn what_was_prepared_for_a_table_that_is_gone_is_committed_before_a_change() {
    let window = counted(20);
    for new in ["", NEW] {
        let mut reports = Reports::new(&[ALL, &window]);
        reports.put(30);
        let mut running = reports.running();
        running.settle().unwrap();
        running.driver.control().finish();
        while !checkpoint::look(&reports.project().checkpoints_path(None)).unwrap().is_some_and(|newest| newest.last) {
            running.driver.step().unwrap();
        }
        drop(running);
        let newest = reports.newest();
        let written =
            newest.rows.steps.iter().find(|(step, _)| step == "into lake.all").map(|(_, fates)| fates.of(Fate::Out));
        assert!(written > Some(0) && reports.rows("lake.all") == 0, "{written:?} rows are prepared and not committed");
        reports.write(&[&window, new]);
        assert_eq!(reports.built().is_some(), new == NEW, "a table that is new gets all rows");
        reports.put(5);
        reports.stopped(reports.running());
        assert_eq!(Some(reports.rows("lake.all") as i64), written);
        assert!(reports.rows("lake.counted") > 20);
    }
}

/// The last checkpoint of a job that was stopped still names what it committed then. Neither that nor what a kill left
/// is of any use to a table that others have made anew or write.
#[test]
fn a_table_that_is_gone_and_belongs_to_others_keeps_no_change_from_being_made() {
    let window = counted(20);
    for (is_another, new) in [(true, ""), (true, NEW), (false, ""), (false, NEW)] {
        let mut reports = Reports::new(&[ALL, &window]);
        reports.put(30);
        reports.stopped(reports.running());
        let newest = reports.newest();
        let of_all = newest.outputs.iter().find(|state| state.output == "into lake.all").expect("it is an output");
        assert!(!of_all.pending.is_empty(), "it names its last commit");
        let warehouse = reports.project().warehouse().unwrap();
        let others = warehouse.claim("lake.all", "others").unwrap();
        if is_another {
            others.replace(&warehouse.schema("lake.all").unwrap(), &TableOptions::default()).unwrap();
            TableClaim::take_places([&others]).unwrap();
        }
        let there = reports.rows("lake.all");
        assert_eq!(there == 0, is_another);
        reports.write(&[&window, new]);
        assert_eq!(reports.built().is_some(), new == NEW, "a table that is new gets all rows");
        reports.put(5);
        reports.stopped(reports.running());
        assert_eq!(reports.rows("lake.all"), there);
        assert!(reports.rows("lake.counted") > 20);
    }
}

/// A stop may come before the rows have come again that a run which was killed had put on a topic. Rows of other pipelines
/// would have been left out under their numbers.
#[test]
fn a_change_waits_until_rows_have_come_again_that_a_killed_run_had_written() {
    let [before, after] = [counted(20), counted(25)];
    let mut reports = Reports::new(&[TOPIC, &before]);
    reports.put(10);
    reports.stopped(reports.running());
    reports.put(20);
    // Killed with rows on the topic that its checkpoint does not have.
    reports.running().settle().unwrap();
    let running = reports.running();
    running.driver.control().finish();
    running.run_to_end().unwrap();
    let newest = reports.newest();
    assert!(newest.last && newest.replays, "it was stopped before it had read a row");
    reports.write(&[TOPIC, &after]);
    assert_eq!(reports.built(), None);
    let refused = reports.wired(false).err().expect("the change is refused");
    assert!(refused.contains("had come again") && refused.contains("once more"), "{refused}");
    reports.write(&[TOPIC, &before]);
    reports.stopped(reports.running());
    assert!(!reports.newest().replays);
    reports.write(&[TOPIC, &after]);
    assert_eq!(reports.built(), None);
    reports.put(5);
    reports.stopped(reports.running());
    let there = reports.place.messages("told").iter().map(Vec::len).sum::<usize>();
    let newest = reports.newest();
    let written = newest.rows.steps.iter().find(|(step, _)| step == "into told").map(|(_, fates)| fates.of(Fate::Out));
    assert_eq!(Some(there as i64), written);
}

/// What is gone of a topic was not missed where windows alone were built, and these lacked its rows.
#[test]
fn a_topic_that_was_trimmed_is_noticed_where_windows_look_back_to_what_is_gone() {
    let [before, after] = [counted(20), counted(25)];
    for (kept_seconds, is_enough) in [(12, false), (40, true)] {
        let mut reports = Reports::beside(1, &[&before]);
        reports.put(60);
        reports.stopped(reports.running());
        let from = ProcessingTime(reports.place.now() - kept_seconds * SECOND);
        let trimmed = reports.place.topics().trim("reports", from, None).unwrap();
        assert!(trimmed.bytes > 0);
        reports.write(&[&after]);
        let why = reports.built();
        match is_enough {
            true => assert_eq!(why, None),
            false => assert!(why.as_ref().is_some_and(|why| why.contains("was trimmed")), "{why:?}"),
        }
    }
}
