-- Rows fail in columns that nobody reads, before and after conditions, and in sums; all of that stays.
CREATE STREAM plays (play_id BIGINT, user_id BIGINT, note TEXT, seconds BIGINT, ts TIMESTAMP,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) LIVE plays ON BAD ROW DEAD LETTER TO lake.bad;
CREATE STREAM users (user_id BIGINT, country TEXT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE users;

CREATE VIEW numbers AS
SELECT play_id, user_id, CAST(note AS INTEGER) AS number, lower(note) AS small, seconds, ts FROM plays;
CREATE VIEW kept AS SELECT play_id, user_id FROM numbers WHERE play_id > 1 AND 2 > 1;
CREATE VIEW few AS SELECT play_id FROM plays WHERE seconds > 0 AND 10 // (play_id - 4) > 0 AND play_id <> 6;
CREATE VIEW sums AS
SELECT play_id, user_id, sum(seconds) OVER (PARTITION BY user_id ORDER BY ts RANGE INTERVAL '1' DAY PRECEDING) AS s,
       count(*) OVER (PARTITION BY user_id ORDER BY ts RANGE INTERVAL '1' DAY PRECEDING) AS n
FROM plays;
CREATE VIEW counted AS SELECT play_id, n FROM sums WHERE user_id = 1;
CREATE VIEW joined AS
SELECT p.play_id, p.user_id, u.country, p.seconds, p.note,
       count(*) OVER (PARTITION BY p.user_id ORDER BY p.ts RANGE INTERVAL '1' DAY PRECEDING) AS n
FROM plays p ASOF JOIN users u ON u.user_id = p.user_id AND u.ts <= p.ts;
CREATE VIEW of_one AS SELECT play_id, n FROM joined WHERE user_id + 0 = 1 AND user_id = 1 AND TRUE;
CREATE VIEW of_two AS SELECT play_id, country FROM joined WHERE user_id = 2;
CREATE VIEW counts AS
SELECT play_id, user_id, count(*) OVER (PARTITION BY user_id ORDER BY ts RANGE INTERVAL '1' DAY PRECEDING) AS n FROM plays;
-- Of no user the second condition is asked too, and fails.
CREATE VIEW unsure AS SELECT play_id, n FROM counts WHERE user_id = 1 AND 10 // (play_id - 6) < 0;

TEST 'what fails';
GIVEN plays (play_id, user_id, note, seconds, ts) VALUES
  (1, 1, '1',   5, TIMESTAMP '2026-01-01 00:00:00'),
  (2, 1, 'two', 9223372036854775807, TIMESTAMP '2026-01-01 00:00:01'),
  (3, 2, '3',   7, TIMESTAMP '2026-01-01 00:00:02'),
  (4, 2, 'no',  8, TIMESTAMP '2026-01-01 00:00:03'),
  (5, 1, NULL,  9, TIMESTAMP '2026-01-01 00:00:04'),
  (6, NULL, '6', -1, TIMESTAMP '2026-01-01 00:00:05'),
  (7, 2, '7',   1, TIMESTAMP '2026-01-03 00:00:05');
GIVEN users (user_id, country, ts) VALUES
  (1, 'DE', TIMESTAMP '2026-01-01 00:00:00'), (2, 'FR', TIMESTAMP '2026-01-01 00:00:02');
EXPECT EXACTLY kept (play_id) VALUES (3), (5), (6), (7);
EXPECT few (play_id) VALUES (5);
EXPECT counted (play_id, n) VALUES (1, 1);
EXPECT EXACTLY unsure (play_id, n) VALUES (1, 1), (2, 2), (5, 3);
EXPECT of_one (play_id, n) VALUES (1, 1), (2, 2), (5, 3);
EXPECT of_two (play_id, country) VALUES (3, 'FR');
