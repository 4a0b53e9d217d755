-- Frames, ties, NULLs, filters and expressions as keys, by hand; DuckDB gives the same.
CREATE STREAM plays (play_id BIGINT, user_id BIGINT, track TEXT, seconds INTEGER, ts TIMESTAMP,
  minutes DOUBLE AS seconds / 60,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND,
  DEDUP ON (play_id) WITHIN INTERVAL '1' MINUTE) LIVE plays;

CREATE VIEW listening AS
SELECT play_id,
       count(*)                             OVER u AS plays,
       count(seconds)                       OVER u AS timed,
       sum(minutes)                         OVER u AS minutes,
       avg(seconds)                         OVER u AS mean,
       min(track)                           OVER u AS first_track,
       stddev(seconds)                      OVER u AS spread,
       count(DISTINCT lower(track))         OVER u AS tracks,
       sum(seconds) FILTER (WHERE track = 'A') OVER u AS seconds_of_a,
       sum(seconds) OVER (PARTITION BY user_id ORDER BY ts RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND INTERVAL '1' SECOND PRECEDING) AS before,
       lag(seconds) OVER (PARTITION BY user_id ORDER BY ts, play_id) AS last,
       lag(track, 2) OVER (PARTITION BY user_id ORDER BY ts, play_id) AS two_before,
       count(*) OVER (PARTITION BY lower(track) ORDER BY ts RANGE INTERVAL '1' DAY PRECEDING) AS of_track
FROM plays p
WHERE play_id > 0
WINDOW u AS (PARTITION BY user_id ORDER BY ts RANGE INTERVAL '5' MINUTE PRECEDING);

CREATE VIEW hidden AS SELECT play_id, _time AS moment, _late AS late, CASE WHEN seconds > 30 THEN 'long' ELSE 'short' END AS kind FROM plays;

TEST 'frames';
GIVEN plays (play_id, user_id, track, seconds, ts) VALUES
  (-1, 1, 'x', 5,   TIMESTAMP '2026-01-01 00:00:00'),
  (1,  1, 'a', 60,  TIMESTAMP '2026-01-01 00:00:00'),
  (1,  1, 'a', 60,  TIMESTAMP '2026-01-01 00:00:30'),
  (2,  1, 'A', 30,  TIMESTAMP '2026-01-01 00:05:00'),
  (3,  1, 'b', NULL, TIMESTAMP '2026-01-01 00:05:00'),
  (4,  1, 'A', 90,  TIMESTAMP '2026-01-01 00:05:01'),
  (5,  2, 'B', 10,  TIMESTAMP '2026-01-01 00:05:01'),
  (6,  NULL, 'c', 1, TIMESTAMP '2026-01-01 00:05:01'),
  (7,  NULL, 'c', 2, TIMESTAMP '2026-01-01 00:05:02');
EXPECT EXACTLY listening (play_id, plays, timed, minutes, mean, first_track, tracks, seconds_of_a, before, last, two_before, of_track) VALUES
  (1, 1, 1, 1.0,     60.0, 'a', 1, NULL, NULL, NULL, NULL, 1),
  (2, 3, 2, 1.5,     45.0, 'A', 2, 30,   60,   60,   NULL, 2),
  (3, 3, 2, 1.5,     45.0, 'A', 2, 30,   60,   30,   'a',  1),
  (4, 3, 2, 2.0,     60.0, 'A', 2, 120,  90,   NULL, 'A',  3),
  (5, 1, 1, 10.0 / 60, 10.0, 'B', 1, NULL, NULL, NULL, NULL, 2),
  (6, 1, 1, 1.0 / 60,  1.0, 'c', 1, NULL, NULL, NULL, NULL, 1),
  (7, 2, 2, 3.0 / 60,  1.5, 'c', 1, NULL, 1,    1,    NULL, 2);
EXPECT listening (play_id, spread) VALUES (1, NULL), (4, sqrt(1800.0));
EXPECT EXACTLY hidden (play_id, late, kind) VALUES
  (-1, false, 'short'), (1, false, 'long'), (2, false, 'short'), (3, false, 'short'), (4, false, 'long'),
  (5, false, 'short'), (6, false, 'short'), (7, false, 'short');
EXPECT hidden (play_id, moment) VALUES (7, TIMESTAMP '2026-01-01 00:05:02');
EXPECT NO ROWS listening WHERE play_id < 0;
