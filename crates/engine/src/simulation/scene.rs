//! The jobs: which streams, steps and outputs a seed puts together, as SQL, planned by the planner that users have.

use super::chance::Chance;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dataflow::{Encode, Error, JobGraph, Result, Scorer, Span};
use sql::{Catalog, CheckedPlan, SourceFile, Start, StoredTable, Stream, Target};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use values::Encoding;

pub const MILLI: i64 = 1_000;
pub const SECOND: i64 = 1_000_000;

/// The output for rows that a filter lets pass, as messages.
pub const BIG: &str = "big";
/// The table of windows, an as-of join and an aggregate over another stream.
pub const COUNTED: &str = "lake.counted";
/// The output of labels, which wait for what comes after a row.
pub const LABELLED: &str = "labelled";

/// What a seed makes of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// How long a delivery is remembered, in seconds; none are dropped at 0.
    pub dedup: i64,
    /// How much earlier than those before them messages may be, in seconds.
    pub delay: i64,
    /// Whether late messages are dropped instead of moved.
    pub drops_late: bool,
    pub has_big: bool,
    pub has_counted: bool,
    /// Whether rows with a label go to a table, to a topic, or nowhere.
    pub labels: Option<bool>,
    /// Whether reports have an archive, too.
    pub archives_reports: bool,
    /// Whether partitions have their first message while the job runs, topics get partitions, and runs end where topics end:
    /// the log alone does not place all rows then.
    pub joins: bool,
}

/// How far the window reaches back, and the aggregate over reports, and the label forward.
pub const WINDOW: i64 = 15 * SECOND;
pub const REPORTED: i64 = 20 * SECOND;
pub const LABEL: i64 = 5 * SECOND;
/// How much earlier than those before them reports may be.
pub const REPORT_DELAY: i64 = SECOND;
/// How long a partition shows nothing before it lets others go on.
pub const QUIET: i64 = SECOND;
/// Messages of more than this many bytes are big.
pub const BIG_SIZE: i64 = 100;

impl Scene {
    /// Draws a job; one in four has rows that the log alone does not place.
    pub fn draw(chance: &mut Chance) -> Scene {
        let dedup = chance.of(&[0, 10]);
        let delay = chance.of(&[0, 2]);
        let drops_late = chance.hits(3000);
        let (has_big, has_counted) = chance.of(&[(true, true), (true, false), (false, true), (true, true)]);
        let labels = chance.of(&[None, None, Some(true), Some(false)]);
        let archives_reports = chance.hits(3000);
        let scene = Scene { dedup, delay, drops_late, has_big, has_counted, labels, archives_reports, joins: false };
        match chance.hits(2500) {
            true => scene.with_joins(),
            false => scene,
        }
    }

    /// The same job with partitions that join while it runs, which goes with neither DEDUP nor rows that are dropped.
    pub fn with_joins(self) -> Scene {
        Scene { dedup: 0, drops_late: false, joins: true, ..self }
    }

    fn sql(&self) -> String {
        let dedup = match self.dedup {
            0 => String::new(),
            seconds => format!(", DEDUP ON (id) WITHIN INTERVAL '{seconds}' SECOND"),
        };
        let late = if self.drops_late { "LATE DROP" } else { "LATE MOVE" };
        let mut text = format!(
            "CREATE STREAM messages (id BIGINT, sender BIGINT, size BIGINT, sent_at TIMESTAMP,
               WATERMARK FOR sent_at AS sent_at - INTERVAL '{}' SECOND {late}{dedup}
             ) HISTORY raw.messages LIVE messages ON BAD ROW SKIP;
             CREATE STREAM reports (id BIGINT, sender BIGINT, size BIGINT, sent_at TIMESTAMP,
               WATERMARK FOR sent_at AS sent_at - INTERVAL '1' SECOND
             ) {} LIVE reports ON BAD ROW SKIP;
             CREATE VIEW counted AS
             SELECT m.id, m.sender, m.sent_at, r.size AS reported,
               count(*) OVER w AS n, sum(m.size) OVER w AS bytes, lag(m.size) OVER k AS before,
               (SELECT sum(x.size) FROM reports x WHERE x.sender = m.sender
                  AND x.sent_at BETWEEN m.sent_at - INTERVAL '20' SECOND AND m.sent_at) AS reported_20s
             FROM messages m
             ASOF LEFT JOIN reports r ON r.sender = m.sender AND r.sent_at <= m.sent_at
             WINDOW w AS (PARTITION BY m.sender ORDER BY m.sent_at RANGE INTERVAL '15' SECOND PRECEDING),
                    k AS (PARTITION BY m.sender ORDER BY m.sent_at);\n",
            self.delay,
            if self.archives_reports { "HISTORY raw.reports" } else { "" },
        );
        if self.has_big {
            text += "INSERT INTO TOPIC big SELECT id, sender, size FROM messages WHERE size > 100;\n";
        }
        if self.has_counted {
            text += "INSERT INTO lake.counted SELECT id, n, bytes, before, reported, reported_20s FROM counted;\n";
        }
        if let Some(is_topic) = self.labels {
            let into = if is_topic { "TOPIC labelled" } else { "labelled" };
            text += &format!(
                "INSERT INTO {into} SELECT m.id, m.size, EXISTS (SELECT 1 FROM reports r WHERE r.sender = m.sender
                   AND r.sent_at BETWEEN m.sent_at AND m.sent_at + INTERVAL '5' SECOND) AS label FROM messages m;\n"
            );
        }
        text
    }

    pub fn delay_of(&self, stream: &str) -> Span {
        Span(if stream == "messages" { self.delay * SECOND } else { REPORT_DELAY })
    }

    /// The streams that the job reads, and its graph where topics begin after an instant.
    pub fn plan<T>(&self, of: impl FnOnce(&[Stream], &dyn Fn(dataflow::EventTime) -> JobGraph) -> T) -> T {
        thread_local! {
            static PLANNED: RefCell<HashMap<String, CheckedPlan>> = RefCell::default();
        }
        PLANNED.with_borrow_mut(|planned| {
            let text = self.sql();
            let plan = planned.entry(text).or_insert_with_key(|text| {
                let files = [SourceFile { path: "sim.sql".to_owned(), text: text.clone() }];
                let statements = sql::parse(&files).unwrap_or_else(|wrong| panic!("{wrong:?}"));
                sql::check(&statements, &Nothing, &Target::All).unwrap_or_else(|wrong| panic!("{wrong:?}"))
            });
            let graph = |after| {
                let start = Start { after, revision: "1".to_owned(), row_text };
                plan.lower(&start).unwrap_or_else(|wrong| panic!("{wrong:?}"))
            };
            of(&plan.streams, &graph)
        })
    }
}

/// A project without tables, files and models.
struct Nothing;

fn nothing<T>() -> Result<T> {
    Err(Error::invalid("there is nothing"))
}

impl Catalog for Nothing {
    fn table_schema(&self, _: &str) -> Result<SchemaRef> {
        nothing()
    }
    fn files_schema(&self, _: &str, _: Encoding) -> Result<SchemaRef> {
        nothing()
    }
    fn stored_table(&self, _: &str) -> Result<StoredTable> {
        Ok(StoredTable::Absent { tables: vec![] })
    }
    fn scorer(&self, _: &sql::Model) -> Result<Arc<dyn Scorer>> {
        nothing()
    }
}

/// The text of rows, for dead letters, of which there are none.
struct NoText;

impl Encode for NoText {
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        Ok(vec![Vec::new(); rows.num_rows()])
    }
}

pub fn row_text(_: SchemaRef) -> Result<Arc<dyn Encode>> {
    Ok(Arc::new(NoText))
}
