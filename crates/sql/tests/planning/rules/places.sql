-- Steps by several keys, whose order is not that of the text: some need what others append, some remove rows.
CREATE STREAM calls (call_id BIGINT, caller BIGINT, callee BIGINT, cell TEXT, cost BIGINT, ts TIMESTAMP,
  WATERMARK FOR ts AS ts) LIVE calls ON BAD ROW DEAD LETTER TO lake.bad;
CREATE STREAM plans (caller BIGINT, plan TEXT, zone TEXT, since TIMESTAMP, WATERMARK FOR since AS since) LIVE plans;
CREATE STREAM blocks (callee BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE blocks;

CREATE VIEW features AS
SELECT c.*, p.plan, p.zone,
       count(*) OVER callers AS made, count(DISTINCT c.callee) OVER callers AS people, lag(c.call_id) OVER (PARTITION BY c.caller ORDER BY c.ts) AS previous,
       count(*) OVER cells AS in_cell,
       count(*) OVER (PARTITION BY p.zone ORDER BY c.ts RANGE INTERVAL '1' HOUR PRECEDING) AS in_zone,
       lag(c.cell) OVER (PARTITION BY c.callee ORDER BY c.ts) AS previous_cell,
       (SELECT count(*) FROM blocks b WHERE b.callee = c.callee AND b.ts BETWEEN c.ts - INTERVAL '1' DAY AND c.ts) AS blocked
FROM calls c ASOF LEFT JOIN plans p ON p.caller = c.caller AND p.since <= c.ts
WINDOW callers AS (PARTITION BY c.caller ORDER BY c.ts RANGE INTERVAL '1' HOUR PRECEDING),
       cells AS (PARTITION BY c.cell ORDER BY c.ts RANGE INTERVAL '1' HOUR PRECEDING);
CREATE VIEW by_cell AS SELECT call_id, max(made) OVER (PARTITION BY cell ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING) AS most FROM features;
CREATE VIEW others AS SELECT call_id, count(*) OVER (PARTITION BY cell ORDER BY ts RANGE INTERVAL '2' HOUR PRECEDING) AS n,
       count(*) OVER (PARTITION BY callee ORDER BY ts RANGE INTERVAL '2' HOUR PRECEDING) AS m FROM calls;
-- A row on which the sum fails is not in the windows after it, and is in those before.
CREATE VIEW paid AS
SELECT call_id, count(*) OVER (PARTITION BY caller ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING) AS before,
       max(cost) OVER (PARTITION BY caller ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING) AS most,
       sum(cost) OVER (PARTITION BY callee ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING) AS paid,
       count(*) OVER (PARTITION BY cell ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING) AS after
FROM calls;
-- An inner join removes rows.
CREATE VIEW planned AS
SELECT c.call_id, count(*) OVER (PARTITION BY c.cell ORDER BY c.ts RANGE INTERVAL '1' HOUR PRECEDING) AS in_cell,
       count(*) OVER (PARTITION BY c.callee ORDER BY c.ts RANGE INTERVAL '1' HOUR PRECEDING) AS called
FROM calls c ASOF JOIN plans p ON p.caller = c.caller AND p.since <= c.ts;

TEST 'places';
GIVEN plans (caller, plan, zone, since) VALUES
  (1, 'flat', 'north', TIMESTAMP '2026-01-01 00:00:00'), (2, 'day', 'north', TIMESTAMP '2026-01-01 00:10:00');
GIVEN blocks (callee, ts) VALUES (7, TIMESTAMP '2026-01-01 00:05:00');
GIVEN calls (call_id, caller, callee, cell, cost, ts) VALUES
  (1, 1, 7, 'x', 1, TIMESTAMP '2026-01-01 00:01:00'),
  (2, 1, 7, 'y', 2, TIMESTAMP '2026-01-01 00:06:00'),
  (3, 2, 8, 'x', 9223372036854775807, TIMESTAMP '2026-01-01 00:06:00'),
  (4, 2, 8, 'x', 4, TIMESTAMP '2026-01-01 00:20:00'),
  (5, NULL, 7, 'x', 5, TIMESTAMP '2026-01-01 00:20:00'),
  (5, NULL, 7, 'x', 5, TIMESTAMP '2026-01-01 00:20:00'),
  (6, 1, 8, NULL, 6, TIMESTAMP '2026-01-01 00:30:00');
EXPECT features (call_id, plan, made, people, previous, in_cell, in_zone, previous_cell, blocked) VALUES
  (1, 'flat', 1, 1, NULL, 1, 1, NULL, 0),
  (2, 'flat', 2, 1, 1, 1, 2, 'x', 1),
  (3, NULL, 1, 1, NULL, 2, 1, NULL, 0),
  (4, 'day', 2, 1, 3, 5, 3, 'x', 0),
  (6, 'flat', 3, 2, 2, 1, 4, 'x', 0);
EXPECT paid (call_id, before, paid, after) VALUES (1, 1, 1, 1), (3, 1, 9223372036854775807, 2), (5, 2, 13, 4);
EXPECT EXACTLY planned (call_id, in_cell, called) VALUES (1, 1, 1), (2, 1, 2), (4, 2, 1), (6, 1, 2);
EXPECT NO ROWS by_cell WHERE most IS NULL;
EXPECT NO ROWS others WHERE n < 1;
