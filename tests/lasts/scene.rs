//! The job that is killed, and what goes into it.

use dataflow::EventTime;
use tests::Chance;

/// How many partitions each topic has.
pub const PARTITIONS: u32 = 2;

/// Windows, aggregates over another stream, an as-of join, deduplication, labels and a decision.
pub const SQL: &str = "
CREATE STREAM messages (id TEXT, sender BIGINT, size BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND,
  DEDUP ON (id) WITHIN INTERVAL '10' SECOND
) HISTORY raw.messages LIVE messages;
ARCHIVE messages;
CREATE STREAM reports (sender BIGINT, weight DOUBLE, reported_at TIMESTAMP,
  WATERMARK FOR reported_at AS reported_at - INTERVAL '1' SECOND
) LIVE reports;

CREATE VIEW counted AS
SELECT m.id, m.sender, m.sent_at, r.weight,
       count(*) OVER w AS n, sum(m.size) OVER w AS bytes, lag(m.size) OVER k AS before,
       (SELECT avg(x.weight) FROM reports x WHERE x.sender = m.sender
          AND x.reported_at BETWEEN m.sent_at - INTERVAL '20' SECOND AND m.sent_at) AS weight_20s
FROM messages m
ASOF LEFT JOIN reports r ON r.sender = m.sender AND r.reported_at <= m.sent_at
WINDOW w AS (PARTITION BY m.sender ORDER BY m.sent_at RANGE INTERVAL '15' SECOND PRECEDING),
       k AS (PARTITION BY m.sender ORDER BY m.sent_at);

INSERT INTO lake.counted SELECT * FROM counted;
INSERT INTO lake.labelled
SELECT c.id, c.n, EXISTS (SELECT 1 FROM reports r WHERE r.sender = c.sender
         AND r.reported_at BETWEEN c.sent_at AND c.sent_at + INTERVAL '5' SECOND) AS label
FROM counted c;

CREATE DECISION guard ON counted SUBJECT sender TO actions AS
  RULE burst WHEN n > 4 THEN 'slow_down' ONCE PER INTERVAL '4' SECOND
  RULE heavy WHEN bytes > 400 THEN 'look';
";

/// A message; one in ten is a delivery of one before it.
pub fn message(chance: &mut Chance, count: &mut u64, event: EventTime) -> String {
    let id = if chance.permille(100) { chance.below(*count + 1) } else { *count };
    *count += 1;
    let (sender, size) = (chance.below(4), chance.below(200));
    let note = *count * 7 % 23;
    format!(r#"{{"id":"m{id}","sender":{sender},"size":{size},"note":{note},"sent_at":"{event}"}}"#)
}

/// A report.
pub fn report(chance: &mut Chance, event: EventTime) -> String {
    let (sender, weight) = (chance.below(4), chance.below(200));
    format!(r#"{{"sender":{sender},"weight":{weight}.25,"reported_at":"{event}"}}"#)
}
