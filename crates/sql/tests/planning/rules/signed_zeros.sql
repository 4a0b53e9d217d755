-- 0.0 and -0.0 are one key, and a condition tells them apart.
CREATE STREAM readings (reading_id BIGINT, level DOUBLE, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE readings;
CREATE VIEW counted AS
SELECT reading_id, level, count(*) OVER (PARTITION BY level ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING) AS n FROM readings;
CREATE VIEW negative AS SELECT reading_id, n FROM counted WHERE level::TEXT = '-0.0';

TEST 'rows of the other sign count';
GIVEN readings (reading_id, level, ts) VALUES
  (1, CAST('0.0' AS DOUBLE),  TIMESTAMP '2026-01-01 00:00:00'),
  (2, CAST('-0.0' AS DOUBLE), TIMESTAMP '2026-01-01 00:00:01'),
  (3, CAST('1.0' AS DOUBLE),  TIMESTAMP '2026-01-01 00:00:02');
EXPECT EXACTLY negative (reading_id, n) VALUES (2, 2);
