//! A year of history with a million decisions: actions begin after W, and every one after it comes once.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use connector_local::{Outgoing, Producer};
use dataflow::{EventTime, Span};
use engine::{Control, Pool};
use project::{ArchiveEnd, Begin, JobOptions, Project};
use sql::Target;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use tests::{Place, all_rows, engine_job, told};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const DAYS: i64 = 365;
/// 2025-01-01.
const START: i64 = 1_735_689_600 * SECOND;
const PAYMENTS: i64 = 1_000_000;
/// Payments are this far apart, so that they fill the year.
const APART: i64 = DAYS * DAY / PAYMENTS;
/// So many lie in one append, and appends go to two partitions in turn.
const APPEND: i64 = 5_000;
/// How many appends of each partition are archived; the other ones are live.
const ARCHIVED: [usize; 2] = [97, 96];
const USERS: i64 = 1_000;
const DELAY: i64 = 2 * SECOND;

const SQL: &str = "
CREATE STREAM payments (id BIGINT, user_id BIGINT, amount BIGINT, paid_at TIMESTAMP,
  WATERMARK FOR paid_at AS paid_at - INTERVAL '2' SECOND QUIET NEVER
) HISTORY raw.payments LIVE payments;
CREATE STREAM accounts (user_id BIGINT, level BIGINT, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at - INTERVAL '2' SECOND QUIET AFTER INTERVAL '1' SECOND
) HISTORY raw.accounts LIVE accounts;
ARCHIVE payments;
ARCHIVE accounts;

CREATE VIEW seen AS
SELECT p.id, p.user_id, p.amount, p.paid_at, a.level
FROM payments p ASOF LEFT JOIN accounts a ON a.user_id = p.user_id AND a.changed_at <= p.paid_at;

CREATE DECISION payment_watch ON seen SUBJECT id TO actions AS
  RULE large WHEN amount >= 1000 AND level > 0 THEN 'hold';
";

/// One in so many is large, and the rule acts on it.
fn is_large(id: i64) -> bool {
    id % 500 == 7
}

fn paid_at(id: i64) -> i64 {
    START + id * APART
}

fn append(producer: &mut Producer, partition: u32, lines: &str) {
    let outgoing = |line| Outgoing { sequence: 0, key: None, payload: str::as_bytes(line), arrived: None };
    producer.append(partition, &lines.lines().map(outgoing).collect::<Vec<_>>()).unwrap();
}

/// Changes of accounts, once a day up to two weeks before the end of the year.
fn write_accounts(place: &Place) {
    place.topics().create("accounts", 1).unwrap();
    let mut producer = place.topics().producer("accounts", "", 0).unwrap();
    for day in 0..DAYS - 14 {
        place.advance(Span(START + day * DAY - place.now()));
        let at = EventTime(place.now());
        let mut changes = String::new();
        for user in (0..USERS).filter(|user| day == 0 || user % DAYS == day) {
            writeln!(changes, r#"{{"user_id":{user},"level":{},"changed_at":"{at}"}}"#, day + 1).unwrap();
        }
        append(&mut producer, 0, &changes);
    }
}

/// Payments by big appends, each stamped when the last one of it happened.
fn write_payments(place: &Place) {
    place.topics().create("payments", 2).unwrap();
    let mut producer = place.topics().producer("payments", "", 0).unwrap();
    for first in (0..PAYMENTS).step_by(APPEND as usize) {
        let mut payments = String::new();
        for id in first..first + APPEND {
            let (user, at) = (id % USERS, EventTime(paid_at(id)));
            let amount = if is_large(id) { 1000 } else { 10 + id % 90 };
            writeln!(payments, r#"{{"id":{id},"user_id":{user},"amount":{amount},"paid_at":"{at}"}}"#).unwrap();
        }
        place.advance(Span(paid_at(first + APPEND - 1) - place.now()));
        append(&mut producer, (first / APPEND % 2) as u32, &payments);
    }
}

/// Archives all accounts, and the payments of the first appends.
fn archive(place: &Place, project: &Project) {
    let messages = place.messages("payments");
    let last = |partition: usize| messages[partition][ARCHIVED[partition] * APPEND as usize - 1].position;
    let to: ArchiveEnd = (0..2).map(|partition| (partition as u32, last(partition))).collect();
    tests::archive(project, BTreeMap::from([("payments".to_owned(), to)])).unwrap();
}

/// The ids of payments on which the decision acted, from its log: published or not.
fn logged(project: &Project) -> (usize, Vec<i64>, Vec<i64>) {
    let (mut rows, mut published, mut kept) = (0, Vec::new(), Vec::new());
    for batch in all_rows(&project.warehouse().unwrap(), "payment_watch__log") {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let (subject, acted) = (column("subject").as_primitive::<Int64Type>(), column("acted"));
        let left = column("published").as_boolean();
        rows += batch.num_rows();
        for row in (0..batch.num_rows()).filter(|&row| acted.is_valid(row)) {
            if left.value(row) { published.push(subject.value(row)) } else { kept.push(subject.value(row)) }
        }
    }
    published.sort_unstable();
    kept.sort_unstable();
    (rows, published, kept)
}

/// The subjects of the actions on the topic.
fn actions(project: &Project) -> Vec<i64> {
    let mut tail = project.tail("actions", true).map_err(told).unwrap();
    let mut ids = Vec::new();
    loop {
        let rows = tail.next(10_000).unwrap();
        if rows.is_empty() {
            ids.sort_unstable();
            return ids;
        }
        for row in rows {
            let action: serde_json::Value = serde_json::from_slice(&row.message.payload).unwrap();
            assert_eq!(action["rule"], "large");
            ids.push(action["subject"].as_i64().unwrap());
        }
    }
}

#[test]
fn no_action_at_or_before_w_and_those_behind_it_once() {
    let place = Place::new("year", SQL, &["dev".to_owned()], START);
    write_accounts(&place);
    write_payments(&place);
    place.advance(Span(5 * SECOND));
    let project = place.project("dev");
    archive(&place, &project);

    let options = JobOptions { until_caught_up: true, begin: Begin::GoOn, from: None, ..JobOptions::default() };
    let wired = project.job(&Target::All, &options).map_err(told).unwrap();
    let (start, stats) = (wired.start, wired.stats.clone());
    // The second partition was archived less far. The accounts' two weeks of silence are drained, and hold nobody.
    let behind = 2 * ARCHIVED[1] as i64 * APPEND;
    assert_eq!(start, EventTime(paid_at(behind - 1) - DELAY - 1));
    let (job, spill) = engine_job(wired, 2, Arc::new(Pool::new(2).unwrap())).unwrap();
    engine::run(job, &Arc::new(Control::default()), &mut |_| {}).unwrap();
    drop(spill);

    let payments = stats.iter().find(|stats| stats.name == "payments").unwrap().counts();
    assert_eq!(payments.history_rows as i64, (ARCHIVED[0] + ARCHIVED[1]) as i64 * APPEND);
    assert_eq!((payments.history_rows + payments.live_rows) as i64, PAYMENTS);
    assert_eq!((payments.late_moved, payments.joined), (0, 0));
    let large = |wanted: bool| {
        (0..PAYMENTS).filter(|&id| is_large(id) && (EventTime(paid_at(id)) > start) == wanted).collect::<Vec<_>>()
    };
    let (rows, published, kept) = logged(&project);
    assert_eq!(rows as i64, PAYMENTS);
    assert_eq!(actions(&project), large(true));
    assert_eq!(published, large(true));
    assert_eq!(kept, large(false));
}
