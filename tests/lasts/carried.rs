//! A column more that rows carry along: steps that hold none of these rows keep what they hold.

use crate::crashes::Trial;
use crate::outputs::decided_texts;
use crate::rebuilt::Way;
use crate::scene::SQL as TWO_STREAMS;
use project::{Begin, StateChange};
use tests::{surplus, told};

/// Windows by two keys, deduplication and a decision over one stream.
pub const SQL: &str = "
CREATE STREAM messages (id TEXT, sender BIGINT, size BIGINT, note BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND,
  DEDUP ON (id) WITHIN INTERVAL '10' SECOND
) HISTORY raw.messages LIVE messages;
ARCHIVE messages;

CREATE VIEW by_sender AS
SELECT m.id, m.sender, m.size, m.sent_at, count(*) OVER w AS n, sum(m.size) OVER w AS bytes,
       lag(m.size) OVER k AS before
FROM messages m
WINDOW w AS (PARTITION BY m.sender ORDER BY m.sent_at RANGE INTERVAL '15' SECOND PRECEDING),
       k AS (PARTITION BY m.sender ORDER BY m.sent_at);
CREATE VIEW by_size AS
SELECT s.id, s.sender, s.sent_at, s.n, s.bytes, s.before, count(*) OVER w AS of_size
FROM by_sender s
WINDOW w AS (PARTITION BY s.size ORDER BY s.sent_at RANGE INTERVAL '30' SECOND PRECEDING);

INSERT INTO lake.counted SELECT * FROM by_size;
CREATE DECISION guard ON by_size SUBJECT sender TO actions AS
  RULE burst WHEN n > 4 THEN 'slow_down' ONCE PER INTERVAL '4' SECOND;
";

/// The same with a column of the stream that nothing has read so far.
fn with_a_note() -> String {
    edited(SQL, &[("AS before\n", "AS before, m.note\n"), ("AS of_size\n", "AS of_size, s.note\n")])
}

/// The same in a job of two streams, whose steps may hold rows of one as long as the other has not come as far.
fn two_streams(with_a_note: bool) -> String {
    let sql = edited(TWO_STREAMS, &[("size BIGINT, sent_at", "size BIGINT, note BIGINT, sent_at")]);
    match with_a_note {
        true => edited(&sql, &[(" AS weight_20s\n", " AS weight_20s, m.note\n")]),
        false => sql,
    }
}

pub fn edited(sql: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(sql.to_owned(), |sql, (from, to)| {
        assert!(sql.contains(from), "{from} is not in {sql}");
        sql.replace(from, to)
    })
}

/// What becomes of the state of a job of one stream: rows of the stream that are above the watermark have to be read again,
/// and no more.
fn check_plan(trial: &Trial, seed: u64) {
    let plan = trial.place.project("dev").plan_change(None, None).map_err(told).unwrap().unwrap();
    assert_eq!((plan.anew.as_ref(), plan.refusals.len()), (None, 0), "seed {seed}: {plan:#?}");
    let of = |wanted: StateChange| plan.steps.iter().filter(move |step| step.state == wanted);
    let mut lost = of(StateChange::Built).chain(of(StateChange::Lost).filter(|step| step.bytes > 0));
    assert!(lost.all(|step| step.computes.starts_with("brings rows into")), "seed {seed}: {plan:#?}");
    assert_eq!(of(StateChange::Built).count(), 1, "seed {seed}: {plan:#?}");
    assert_eq!(of(StateChange::Kept).count(), 4, "seed {seed}: {plan:#?}");
    let reads: Vec<_> = plan.reads.iter().map(|read| read.look_back).collect();
    assert_eq!(reads, [sql::LookBack::For(dataflow::Span::ZERO)], "seed {seed}");
}

/// A job that is changed so that one table has a column more, the last one, which is NULL in the rows that were there.
pub fn trial(seed: u64, before: &str, after: &str, checks: &dyn Fn(&Trial, u64)) {
    let mut trial = Trial::new(seed);
    trial.write(before);
    (0..4 + trial.chance.below(8)).for_each(|_| trial.put_some());
    for _ in 0..2 {
        trial.run_and_stop();
        if trial.chance.permille(500) {
            let project = trial.place.project("dev");
            trial.archive(&project);
        }
    }
    let before = trial.rows("dev", "lake.counted");
    let decided = decided_texts(&trial.place.project("dev"));
    trial.write(after);
    checks(&trial, seed);
    assert_ne!(trial.apply(), Way::Anew, "seed {seed}");
    if trial.chance.permille(500) {
        trial.run_and_stop();
    }
    (0..trial.chance.below(4)).for_each(|_| trial.put_some());
    trial.put_last();
    trial.end("dev", Begin::GoOn);
    trial.end("oracle", Begin::Fresh);
    let (found, oracle) = (trial.rows("dev", "lake.counted"), trial.rows("oracle", "lake.counted"));
    assert_eq!(without_last(&found), without_last(&oracle), "seed {seed}: rows without what is new");
    let (old, new): (Vec<String>, Vec<String>) = found.into_iter().partition(|row| row.ends_with("|NULL"));
    assert_eq!(without_last(&old), before, "seed {seed}: rows that were there");
    let odd = surplus(&new, &oracle);
    assert!(!new.is_empty() && odd.is_empty(), "seed {seed}: {} new rows, odd: {odd:?}", new.len());
    // The log of decisions has the new column, too, in rows from after the change.
    let actions = |decided: Vec<String>| decided.len();
    let all = (decided_texts(&trial.place.project("dev")), decided_texts(&trial.place.project("oracle")));
    assert_eq!(actions(all.0), actions(all.1), "seed {seed}: decisions, of which {} were there", decided.len());
}

fn without_last(rows: &[String]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| row.rsplit_once('|').unwrap().0.to_owned()).collect();
    rows.sort_unstable();
    rows
}

pub fn seeds() -> std::ops::Range<u64> {
    let trials = std::env::var("LASTS_SEEDS").map_or(4, |seeds| seeds.parse().unwrap());
    let first: u64 = std::env::var("LASTS_FIRST").map_or(0, |seed| seed.parse().unwrap());
    first..first + trials
}

#[test]
fn a_column_more_costs_no_state_but_of_rows_above_the_watermark() {
    seeds().for_each(|seed| trial(seed, SQL, &with_a_note(), &check_plan));
}

#[test]
fn a_column_more_beside_another_stream_gives_the_rows_of_a_run_that_always_had_it() {
    seeds().for_each(|seed| trial(seed, &two_streams(false), &two_streams(true), &|_, _| {}));
}
