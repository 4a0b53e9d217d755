-- Frames of several lengths and keys, frames that end before the row, filters, expressions as arguments, lag.
CREATE STREAM plays (
  user_id BIGINT, track TEXT, seconds INTEGER, skipped BOOLEAN, played_at TIMESTAMP,
  happened_on DATE AS CAST(played_at AS DATE),
  WATERMARK FOR played_at AS played_at - INTERVAL '10' SECOND QUIET AFTER INTERVAL '3' SECOND LATE DROP
) HISTORY FILES 'data/plays*.parquet' ON BAD ROW SKIP;

CREATE VIEW listening AS
SELECT user_id, track, played_at AS at,
       count(*) FILTER (WHERE skipped)   OVER u7           AS skips_7d,
       count(*) FILTER (WHERE seconds > 30) OVER u7        AS long_7d,
       sum(seconds) OVER (u RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND INTERVAL '1' HOUR PRECEDING) AS seconds_before,
       max(track) OVER u7                                  AS last_track,
       stddev(seconds) OVER u7                             AS spread,
       lag(track, 2) OVER u                                AS two_before,
       lag(track) OVER (PARTITION BY user_id ORDER BY played_at, track) AS one_before,
       1.0 * sum(seconds) OVER t1 / count(*) OVER t1       AS mean_of_track,
       avg(seconds + 0) OVER (PARTITION BY lower(track) ORDER BY _time RANGE INTERVAL '90 minutes' PRECEDING) AS by_lower
FROM plays
WHERE seconds IS NOT NULL AND track <> ''
WINDOW u AS (PARTITION BY user_id ORDER BY played_at),
       u7 AS (u RANGE INTERVAL '7' DAY PRECEDING),
       t1 AS (PARTITION BY track ORDER BY played_at RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW);

-- The time column goes through views under other names.
CREATE VIEW skippers AS
SELECT l.user_id, l.at, count(*) OVER (PARTITION BY l.user_id ORDER BY l.at RANGE INTERVAL '1' HOUR PRECEDING) AS again
FROM listening l WHERE l.skips_7d > 3;

INSERT INTO TOPIC skippers_now SELECT * EXCLUDE (again) FROM skippers;
INSERT INTO lake.skippers SELECT * FROM skippers;
