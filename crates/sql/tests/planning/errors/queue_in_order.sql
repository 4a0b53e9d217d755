CREATE STREAM notes (id BIGINT, who BIGINT, at TIMESTAMP, WATERMARK FOR at AS at,
  DEDUP ON (id) WITHIN INTERVAL '1' HOUR) LIVE notes QUEUE;
CREATE STREAM people (who BIGINT, name TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE people QUEUE BY KEY;
CREATE VIEW counted AS
SELECT id, who, at, count(*) OVER (PARTITION BY who ORDER BY at RANGE INTERVAL '1' MINUTE PRECEDING) AS n FROM notes;
INSERT INTO lake.counted SELECT id, n FROM counted;
INSERT INTO lake.named
SELECT n.id, p.name FROM notes n ASOF LEFT JOIN people p ON p.who = n.who AND p.at <= n.at;
CREATE DECISION guard ON notes SUBJECT who TO actions AS
  RULE odd WHEN id > 7 THEN 'look' ONCE PER INTERVAL '1' MINUTE;
