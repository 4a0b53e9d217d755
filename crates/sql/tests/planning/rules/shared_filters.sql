-- Outputs that want different rows of one view, some of them by what is NULL or can fail.
CREATE STREAM plays (play_id BIGINT, user_id BIGINT, kind TEXT, seconds BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE plays
  ON BAD ROW DEAD LETTER TO lake.bad;
CREATE STREAM users (user_id BIGINT, country TEXT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE users;

CREATE VIEW known AS
SELECT p.play_id, p.user_id, p.kind, p.seconds, u.country
FROM plays p ASOF LEFT JOIN users u ON u.user_id = p.user_id AND u.ts <= p.ts;
CREATE VIEW songs AS SELECT play_id, country FROM known WHERE kind = 'song' AND 10 // (play_id - 2) > 0;
CREATE VIEW long AS SELECT play_id, country FROM known WHERE kind <> 'song' AND seconds > 30;
CREATE VIEW counted AS
SELECT play_id, user_id, kind, count(*) OVER (PARTITION BY user_id, kind ORDER BY ts RANGE INTERVAL '1' DAY PRECEDING) AS plays
FROM plays;
CREATE VIEW of_one AS SELECT play_id, plays FROM counted WHERE user_id = 1 AND kind = 'song';
CREATE VIEW of_others AS SELECT play_id, plays FROM counted WHERE user_id > 1;
CREATE VIEW of_nobody AS SELECT play_id, plays FROM counted WHERE user_id IS NULL;

TEST 'rows that one of them wants';
GIVEN plays (play_id, user_id, kind, seconds, ts) VALUES
  (1, 1, 'song',  5,    TIMESTAMP '2026-01-01 00:00:00'),
  (2, 1, 'song',  50,   TIMESTAMP '2026-01-01 00:00:01'),
  (3, 1, 'video', 50,   TIMESTAMP '2026-01-01 00:00:02'),
  (4, 1, NULL,    60,   TIMESTAMP '2026-01-01 00:00:03'),
  (5, 2, 'video', NULL, TIMESTAMP '2026-01-01 00:00:04'),
  (6, NULL, 'song', 1,  TIMESTAMP '2026-01-01 00:00:05'),
  (7, 0, 'video', 31,   TIMESTAMP '2026-01-01 00:00:06');
GIVEN users (user_id, country, ts) VALUES (1, 'DE', TIMESTAMP '2026-01-01 00:00:00');
EXPECT EXACTLY songs (play_id, country) VALUES (6, NULL);
EXPECT EXACTLY long (play_id, country) VALUES (3, 'DE'), (7, NULL);
EXPECT EXACTLY of_one (play_id, plays) VALUES (1, 1), (2, 2);
EXPECT EXACTLY of_others (play_id, plays) VALUES (5, 1);
EXPECT EXACTLY of_nobody (play_id, plays) VALUES (6, 1);
