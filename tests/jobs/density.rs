//! Streams that differ in density, or of which one is silent: what a job holds stays flat, and rows come out when the
//! quiet rule says.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use connector_local::{Outgoing, Producer};
use dataflow::{EventTime, Span};
use project::{Begin, JobOptions};
use sql::Target;
use std::collections::BTreeMap;
use tests::{Place, Running, told};

const START: i64 = 1_767_225_600_000_000;
const SECOND: i64 = 1_000_000;
const DELAY: i64 = 2 * SECOND;
const QUIET: i64 = SECOND;
/// Changes of accounts per message.
const DENSITY: usize = 100;
const USERS: i64 = 20;

const SQL: &str = "
CREATE STREAM messages (id BIGINT, user_id BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND QUIET AFTER INTERVAL '1' SECOND
) LIVE messages;
CREATE STREAM accounts (user_id BIGINT, level BIGINT, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at - INTERVAL '2' SECOND QUIET AFTER INTERVAL '1' SECOND
) LIVE accounts;
INSERT INTO lake.joined
SELECT m.id, a.level, count(*) OVER w AS n
FROM messages m ASOF LEFT JOIN accounts a ON a.user_id = m.user_id AND a.changed_at <= m.sent_at
WINDOW w AS (PARTITION BY m.user_id ORDER BY m.sent_at RANGE INTERVAL '30' SECOND PRECEDING);
";

/// The two topics and what was put on them.
struct Traffic {
    place: Place,
    messages: Producer,
    accounts: Producer,
    changes: i64,
    // The level of each user.
    levels: BTreeMap<i64, i64>,
    // By id: when it was sent, and the level of its sender.
    sent: Vec<(i64, Option<i64>)>,
}

impl Traffic {
    fn new(name: &str) -> Traffic {
        let place = Place::new(name, SQL, &["dev".to_owned()], START);
        let topics = place.topics();
        topics.create("messages", 1).unwrap();
        topics.create("accounts", 2).unwrap();
        let producer = |topic| topics.producer(topic, "", 0).unwrap();
        let (messages, accounts) = (producer("messages"), producer("accounts"));
        Traffic { place, messages, accounts, changes: 0, levels: BTreeMap::new(), sent: Vec::new() }
    }

    /// Changes of accounts that happen now.
    fn change(&mut self, count: usize) {
        let now = EventTime(self.place.now());
        for partition in 0..2 {
            let mut payloads = Vec::new();
            for _ in 0..count / 2 {
                self.changes += 1;
                // A user's changes lie in one partition, so that the last one is the last in the order of all rows.
                let user = (self.changes * 2 + partition) % USERS;
                self.levels.insert(user, self.changes);
                let level = self.changes;
                payloads.push(format!(r#"{{"user_id":{user},"level":{level},"changed_at":"{now}"}}"#));
            }
            let all = payloads.iter().map(|payload| Outgoing {
                sequence: 0,
                key: None,
                payload: payload.as_bytes(),
                arrived: None,
            });
            self.accounts.append(partition as u32, &all.collect::<Vec<_>>()).unwrap();
        }
    }

    /// A message that is sent now.
    fn send(&mut self) {
        let (id, now) = (self.sent.len() as i64, self.place.now());
        let user = id % USERS;
        let payload = format!(r#"{{"id":{id},"user_id":{user},"sent_at":"{}"}}"#, EventTime(now));
        self.messages
            .append(0, &[Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None }])
            .unwrap();
        self.sent.push((now, self.levels.get(&user).copied()));
    }

    fn job(&self, workers: usize, seed: u64) -> Running {
        let options = JobOptions { until_caught_up: false, begin: Begin::Collect, from: None, ..JobOptions::default() };
        let wired = self.place.project("dev").job(&Target::All, &options).map_err(told).unwrap();
        Running::new(wired, workers, seed)
    }

    /// Checks the rows that have come out since the last call, and gives their ids.
    fn take(&self, running: &Running) -> Vec<usize> {
        let mut ids = Vec::new();
        for batch in running.collected[0].take() {
            let (id, level) =
                (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
            let n = batch.column(2).as_primitive::<Int64Type>();
            for row in 0..batch.rows() {
                let of = id.value(row) as usize;
                let found = (!arrow::array::Array::is_null(level, row)).then(|| level.value(row));
                assert_eq!(found, self.sent[of].1, "level of message {of}");
                // The sender's messages of the last 30 seconds: one every 20.
                assert_eq!(n.value(row), if of < USERS as usize { 1 } else { 2 }, "count of message {of}");
                ids.push(of);
            }
        }
        ids.sort_unstable();
        ids
    }
}

#[test]
fn a_stream_that_is_four_hundred_times_denser_does_not_fill_the_state() {
    const SECONDS: usize = 1500;
    const CHANGES: usize = 4 * DENSITY;
    /// Rows of a topic that may be out whatever other streams do.
    const LEAD: usize = 256 << 10;
    let mut traffic = Traffic::new("dense");
    for _ in 0..SECONDS {
        traffic.place.advance(Span(SECOND));
        traffic.change(CHANGES);
        traffic.send();
    }
    for (workers, seed) in [(1, 1), (2, 2), (4, 3)] {
        let mut running = traffic.job(workers, seed);
        let (mut out, mut peaks) = (Vec::new(), [0_usize; 4]);
        loop {
            let step = running.driver.step().unwrap();
            let quarter = (out.len() * 4 / SECONDS).min(3);
            peaks[quarter] = peaks[quarter].max(running.held_bytes());
            if step != engine::Step::Moved {
                break;
            }
            out.extend(traffic.take(&running));
        }
        let behind = traffic.sent.iter().filter(|(sent, _)| *sent <= traffic.place.now() - DELAY - 1).count();
        out.sort_unstable();
        assert_eq!(out, (0..behind).collect::<Vec<_>>(), "all rows that the watermark has reached came out, each once");
        let rows = running.counts("accounts").live_rows as usize;
        assert_eq!(rows, SECONDS * CHANGES);
        // Three columns, a time and an order of 16 bytes.
        let of_rows = |rows: usize| rows * 6 * size_of::<i64>();
        let most = *peaks.iter().max().unwrap();
        let bound = of_rows(LEAD) * 5 / 4;
        assert!(most < bound && bound * 3 / 2 < of_rows(rows), "{peaks:?} bytes are held, expected less than {bound}");
        assert!(
            peaks[3] <= peaks[0].max(peaks[1]) * 5 / 4 || most < bound / 2,
            "{peaks:?} bytes are held, more and more"
        );
    }
}

#[test]
fn a_stream_that_falls_silent_holds_the_others_for_the_quiet_time_only() {
    const TICK: i64 = SECOND / 4;
    const BUSY: usize = 60;
    const SILENT: usize = 600;
    for (workers, seed) in [(1, 1), (2, 2), (4, 3)] {
        let mut traffic = Traffic::new("silent");
        traffic.change(DENSITY);
        traffic.send();
        let mut running = traffic.job(workers, seed);
        let (mut next, mut peaks, mut changed) = (0, [0_usize; 11], START);
        for tick in 1..(BUSY + SILENT) * 4 {
            traffic.place.advance(Span(TICK));
            let busy = tick < BUSY * 4;
            if busy {
                traffic.change(DENSITY / 4);
                changed = traffic.place.now();
            }
            if tick % 4 == 0 {
                traffic.send();
            }
            assert!(!running.settle().unwrap());
            let minute = tick / (60 * 4);
            peaks[minute] = peaks[minute].max(running.held_bytes());
            // A row comes out at the first tick at which both streams have passed it, by their own last rows or by
            // their silence, which is known up to the microsecond before now.
            let by_silence = traffic.place.now() - 1 - QUIET - DELAY - 1;
            let (sent, _) = *traffic.sent.last().unwrap();
            let reached = (sent.min(changed) - DELAY - 1).max(by_silence);
            let expected: Vec<usize> =
                (next..traffic.sent.len()).take_while(|&id| traffic.sent[id].0 <= reached).collect();
            assert_eq!(traffic.take(&running), expected, "tick {tick}, {workers} workers, seed {seed}");
            next += expected.len();
        }
        assert!(next > BUSY + SILENT - 10);
        let silent = &peaks[2..];
        assert!(silent.iter().all(|peak| *peak <= peaks[1] * 11 / 10), "{peaks:?} bytes are held");
    }
}
