CREATE STREAM m (id BIGINT, k TEXT, v BIGINT, f DOUBLE FROM payload.f, b BOOLEAN, d DATE, ms BIGINT, at TIMESTAMP AS epoch_ms(ms),
  WATERMARK FOR at AS at - INTERVAL '2' SECOND QUIET AFTER INTERVAL '5' SECOND LATE TO lake.late_m,
  DEDUP ON (id) WITHIN INTERVAL '1' HOUR
) HISTORY raw.m LIVE m ON BAD ROW DEAD LETTER TO lake.bad_m;
CREATE STREAM o (id BIGINT, k TEXT, v INTEGER, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '0' SECOND QUIET NEVER LATE DROP)
  LIVE "other" ON BAD ROW SKIP;
ARCHIVE m;
CREATE VIEW a AS
WITH s AS (SELECT *, v // 2 + -1 AS half, CASE WHEN b THEN 1 WHEN NOT b THEN 0 END AS c FROM m WHERE k IS DISTINCT FROM 'x' AND v BETWEEN 1 AND 3 OR f IN (1, 2.5))
SELECT id, k, v, at, half, c, TRY_CAST(k AS BIGINT)::DOUBLE AS n, regexp_extract(k, '(a)(b*)', 1) AS e, k LIKE '%a_' ESCAPE '\' AS l,
  date_trunc('hour', at) + INTERVAL '1 day' AS t, epoch(at - TIMESTAMP '2024-01-01') AS s, coalesce(nullif(k, ''), 'none') || '-' AS j,
  _time AS rt, _late AS late, row_position() AS place
FROM s;
CREATE VIEW w AS
SELECT a.*, count(*) OVER h AS n1, sum(v) FILTER (WHERE c = 1) OVER h AS s1, count(DISTINCT k) OVER d AS d1, lag(v, 2) OVER (PARTITION BY k ORDER BY at, id) AS l1,
  (SELECT max(o.v) FROM o WHERE o.k = a.k AND o.v > 0 AND o.at BETWEEN a.at - INTERVAL '1' DAY AND a.at) AS m1, z.v AS zv
FROM a ASOF LEFT JOIN o z ON z.k = a.k AND z.at <= a.at
WINDOW h AS (PARTITION BY a.k ORDER BY a.at RANGE INTERVAL '1' HOUR PRECEDING),
  d AS (PARTITION BY a.k, a.v ORDER BY a.at RANGE BETWEEN INTERVAL '2' DAY PRECEDING AND INTERVAL '1' MINUTE PRECEDING);
CREATE EXPERIMENT cut ON k ARMS (control 90, strict 10);
CREATE DECISION guard ON w SUBJECT k TO actions AS
  RULE one WHEN n1 > 60 THEN 'stop' ONCE PER INTERVAL '10' MINUTE
  RULE two SHADOW WHEN arm(cut) = 'strict' AND s1 IS NULL THEN 'look';
INSERT INTO lake.labels SELECT w.id, w.n1, EXISTS (SELECT 1 FROM o WHERE o.k = w.k AND o.at BETWEEN w.at AND w.at + INTERVAL '7' DAY) AS label FROM w;
INSERT INTO TOPIC out SELECT id, n1 FROM w WHERE NOT EXISTS (SELECT 1 FROM o WHERE o.k = w.k AND o.at BETWEEN w.at - INTERVAL '1' MINUTE AND w.at);
