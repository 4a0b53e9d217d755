-- Views that compute the same, labels that wait, conditions before and after them.
CREATE STREAM plays (play_id BIGINT, user_id BIGINT, track TEXT, seconds DOUBLE, ts TIMESTAMP,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND, DEDUP ON (play_id) WITHIN INTERVAL '1' MINUTE) LIVE plays;
CREATE STREAM likes (user_id BIGINT, track TEXT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE likes;

CREATE VIEW day AS
SELECT play_id, user_id, track, ts,
       count(*) OVER u AS plays, sum(seconds) OVER u AS seconds,
       (SELECT count(*) FROM likes l WHERE l.user_id = p.user_id AND l.ts BETWEEN p.ts - INTERVAL '1' DAY AND p.ts) AS likes
FROM plays p WINDOW u AS (PARTITION BY user_id ORDER BY ts RANGE INTERVAL '1' DAY PRECEDING);
CREATE VIEW hour AS
SELECT play_id, track, count(*) OVER h AS plays, count(DISTINCT track) OVER h AS tracks,
       (SELECT count(*) FROM likes m WHERE m.user_id = q.user_id AND m.ts BETWEEN q.ts - INTERVAL '1' DAY AND q.ts) AS likes
FROM plays q WINDOW h AS (PARTITION BY user_id ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING);
CREATE VIEW labelled AS
SELECT d.play_id, d.user_id, d.plays, d.track,
       EXISTS (SELECT 1 FROM likes l WHERE l.track = d.track AND l.ts BETWEEN d.ts AND d.ts + INTERVAL '1' HOUR) AS liked,
       (SELECT count(*) FROM likes l WHERE l.user_id = d.user_id AND l.ts BETWEEN d.ts AND d.ts + INTERVAL '2' HOUR) AS later
FROM day d;
CREATE VIEW of_some AS SELECT play_id, liked FROM labelled WHERE user_id >= 1 AND later >= 0;
CREATE VIEW late AS SELECT play_id, later, _time AS known FROM labelled WHERE track <> 'b' AND _time > TIMESTAMP '2026-01-01 02:00:00';
CREATE VIEW moments AS SELECT _time AS moment FROM plays p ASOF LEFT JOIN likes l ON l.ts <= p.ts;
CREATE VIEW counts AS SELECT count(*) OVER (ORDER BY ts RANGE INTERVAL '1' DAY PRECEDING) AS n FROM plays;
CREATE VIEW again AS
SELECT play_id, plays, count(*) OVER (PARTITION BY user_id ORDER BY ts RANGE INTERVAL '1' DAY PRECEDING) AS n
FROM day WHERE user_id = 1;

TEST 'shared';
GIVEN plays (play_id, user_id, track, seconds, ts) VALUES
  (1, 1, 'a', 1.5, TIMESTAMP '2026-01-01 00:00:00'),
  (2, 1, 'b', 2.5, TIMESTAMP '2026-01-01 00:30:00'),
  (2, 1, 'b', 2.5, TIMESTAMP '2026-01-01 00:30:30'),
  (3, 2, 'a', 3.5, TIMESTAMP '2026-01-01 00:45:00'),
  (4, NULL, 'c', NULL, TIMESTAMP '2026-01-01 02:00:00');
GIVEN likes (user_id, track, ts) VALUES
  (1, 'a', TIMESTAMP '2025-12-31 23:59:00'), (2, 'a', TIMESTAMP '2026-01-01 00:50:00');
EXPECT EXACTLY day (play_id, plays, seconds, likes) VALUES (1, 1, 1.5, 1), (2, 2, 4.0, 1), (3, 1, 3.5, 0), (4, 1, NULL, 0);
EXPECT EXACTLY hour (play_id, plays, tracks, likes) VALUES (1, 1, 1, 1), (2, 2, 2, 1), (3, 1, 1, 0), (4, 1, 1, 0);
EXPECT EXACTLY of_some (play_id, liked) VALUES (1, true), (2, false), (3, true);
EXPECT EXACTLY counts (n) VALUES (1), (2), (3), (4);
EXPECT moments (moment) VALUES (TIMESTAMP '2026-01-01 00:45:00');
EXPECT late (play_id, later) VALUES (3, 1);
EXPECT EXACTLY again (play_id, plays, n) VALUES (1, 1, 1), (2, 2, 2);
