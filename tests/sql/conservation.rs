//! No row vanishes: over random projects every message is used, or removed for one reason that is counted.

use crate::place::{Place, wrong};
use dataflow::{Fate, Result, Span};
use project::{Begin, JobOptions};
use sql::{Rule, Target};
use tests::{Chance, Running};

/// How many projects are tried.
const CASES: u64 = 60;

/// What a row can be like; each is bad, late or a repetition for another reason.
const PAYLOADS: [&str; 9] = [
    r#"{"id": $, "key": 1, "text": "7", "ts": "2026-01-01T00:00:$Z"}"#,
    r#"{"id": $, "key": 2, "text": "12", "ts": "2026-01-01T00:00:$Z"}"#,
    r#"{"id": 10, "key": 2, "text": "9", "ts": "2026-01-01T00:00:$Z"}"#,
    r#"{"id": $, "key": 1, "text": "many", "ts": "2026-01-01T00:00:$Z"}"#,
    r#"{"id": $, "key": 3, "text": "9223372036854775807", "ts": "2026-01-01T00:00:$Z"}"#,
    r#"{"id": $, "key": 1, "text": "1", "ts": "2025-12-31T00:00:$Z"}"#,
    r#"{"id": $, "key": 1, "text": "1", "ts": "2026-02-01T00:00:$Z"}"#,
    r#"{"id": $, "key": 1, "text": "1"}"#,
    r#"{"id": $"#,
];

const POLICIES: [&str; 3] = ["FAIL", "SKIP", "DEAD LETTER TO lake.bad"];
const LATE: [&str; 3] = ["MOVE", "DROP", "TO lake.late"];

/// Views of which one is asked for; each lets rows fail in other steps.
const VIEWS: [&str; 5] = [
    "SELECT id, CAST(text AS INTEGER) AS n FROM m",
    "SELECT id FROM m WHERE CAST(text AS BIGINT) > 8",
    "SELECT id, sum(CAST(text AS BIGINT)) OVER (PARTITION BY key ORDER BY ts RANGE INTERVAL '1' MINUTE PRECEDING) AS s \
     FROM m",
    "SELECT m.id, CAST(o.text AS INTEGER) AS n FROM m ASOF LEFT JOIN m AS o ON o.key = m.key AND o.ts < m.ts",
    "SELECT id, (SELECT sum(CAST(o.text AS BIGINT)) FROM m o WHERE o.key = m.key \
     AND o.ts BETWEEN m.ts - INTERVAL '1' MINUTE AND m.ts) AS s FROM m",
];

/// A stream, a view over it, and what comes in.
pub struct Case {
    policy: &'static str,
    late: &'static str,
    view: &'static str,
    payloads: Vec<String>,
    workers: usize,
    archives: bool,
    seed: u64,
}

impl Case {
    /// The case of a seed.
    pub fn of(seed: u64) -> Case {
        let mut chance = Chance::new(seed);
        let count = 1 + chance.below(60);
        // Under FAIL a case of good rows alone is worth as much as one with bad ones.
        let kinds = if chance.below(3) == 0 { 3 } else { PAYLOADS.len() as u64 };
        let mut payload = |_| PAYLOADS[chance.below(kinds) as usize].replace('$', &(10 + chance.below(40)).to_string());
        let payloads = (0..count).map(&mut payload).collect();
        Case {
            policy: chance.of(&POLICIES),
            late: chance.of(&LATE),
            view: chance.of(&VIEWS),
            payloads,
            workers: chance.of(&[1, 2, 3, 5]),
            archives: chance.below(2) == 0,
            seed,
        }
    }

    /// Runs the view, planned with some rules, to where the topic ends.
    pub fn run(&self, rules: &[Rule]) -> Result<Running> {
        let mut place = Place::new();
        place.add(&format!(
            "CREATE STREAM m (id BIGINT, key BIGINT, text TEXT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '2' SECOND \
             QUIET NEVER LATE {}, DEDUP ON (id) WITHIN INTERVAL '5' SECOND) HISTORY raw.m LIVE m ON BAD ROW {}",
            self.late, self.policy
        ))?;
        place.add(&format!("CREATE VIEW v AS {}", self.view))?;
        place.advance(Span::seconds(600));
        for (at, payload) in self.payloads.iter().enumerate() {
            if self.archives && at == self.payloads.len() / 2 {
                place.add("ARCHIVE m")?;
                place.archive()?;
            }
            place.put("m", 0, &[payload.clone().into_bytes()])?;
        }
        let options = JobOptions { until_caught_up: true, begin: Begin::Collect, from: None, ..JobOptions::default() };
        let project = place.open()?;
        let checked = project.check_with(&Target::Collect(vec!["v".to_owned()]), rules).map_err(wrong)?;
        let wired = project.job_of(&checked, &options).map_err(wrong)?;
        Running::new(wired, self.workers, self.seed).run_to_end()
    }

    /// Says which sum does not hold.
    fn check(&self, ran: &Running) -> std::result::Result<(), String> {
        let (counts, nodes) = (ran.counts("m"), ran.driver.status().nodes());
        let is = |what: &str, found: i64, expected: i64| match found == expected {
            true => Ok(()),
            false => Err(format!("{what}: {found}, expected {expected}")),
        };
        let used = counts.history_rows + counts.live_rows;
        let removed = counts.late_dropped + counts.quarantined + counts.bad + counts.dead_lettered;
        is("rows that were read", (used + removed) as i64, self.payloads.len() as i64)?;
        let all = |fate: Fate| nodes.iter().map(|node| node.fates.of(fate)).sum::<i64>();
        for node in nodes.iter().filter(|node| node.name != "m") {
            let of = |fate| node.fates.of(fate);
            let gone = of(Fate::Filtered) + of(Fate::Deduplicated) + of(Fate::Bad) + of(Fate::DeadLettered);
            is(&node.name, of(Fate::Out) + gone + of(Fate::Held), of(Fate::In))?;
        }
        let into = |name: &str| nodes.iter().find(|node| node.name == name).map_or(0, |node| node.fates.of(Fate::In));
        if VIEWS[..3].contains(&self.view) {
            let gone = all(Fate::Filtered) + all(Fate::Deduplicated) + all(Fate::Bad) + all(Fate::DeadLettered);
            is("rows that were used", into("into v") + gone + all(Fate::Held), used as i64)?;
        }
        is(
            "late rows",
            into("into lake.late"),
            if self.late.starts_with("TO") { counts.late_dropped as i64 } else { 0 },
        )?;
        let letters = counts.dead_lettered as i64 + all(Fate::DeadLettered);
        is("dead letters", into("into lake.bad"), letters)?;
        let skipped = (counts.bad + counts.quarantined) as i64 + all(Fate::Bad);
        match self.policy {
            "SKIP" => is("dead letters under SKIP", letters, 0),
            "FAIL" => is("bad rows of a job that went on", skipped + letters, 0),
            _ => is("rows that vanish under DEAD LETTER", skipped, 0),
        }
    }
}

#[test]
fn nothing_vanishes() {
    let (mut failed, mut bad, mut fine) = (0, 0, 0);
    for seed in 0..CASES {
        let case = Case::of(seed);
        let told = |what: String| format!("seed {seed}: {what}\n{} {} {}", case.policy, case.late, case.view);
        match case.run(&Rule::ALL) {
            Ok(ran) => {
                case.check(&ran).unwrap_or_else(|what| panic!("{}", told(what)));
                let counts = ran.counts("m");
                let any = counts.bad + counts.quarantined + counts.dead_lettered > 0;
                (bad, fine) = (bad + u64::from(any), fine + u64::from(!any));
            }
            Err(error) => {
                let message = error.chain();
                assert!(
                    message.contains("stream \"m\": ") && message.contains("; ON BAD ROW SKIP"),
                    "{}",
                    told(message)
                );
                assert_eq!(case.policy, "FAIL", "{}", told(message));
                // The same rows under SKIP: the row that ended the job is counted.
                let ran =
                    Case { policy: "SKIP", ..case }.run(&Rule::ALL).unwrap_or_else(|error| panic!("{}", error.chain()));
                let of_steps = ran.driver.status().nodes().iter().map(|node| node.fates.of(Fate::Bad)).sum::<i64>();
                assert!((ran.counts("m").bad + ran.counts("m").quarantined) as i64 + of_steps > 0, "seed {seed}");
                failed += 1;
            }
        }
    }
    assert!(failed >= 5 && bad >= 5 && fine >= 5, "{failed} jobs failed, {bad} went on over bad rows, {fine} had none");
}
