-- Conditions go below what they pass, and stay above what a row can fail on.
CREATE STREAM plays (play_id BIGINT, user_id BIGINT, seconds INTEGER, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at,
  DEDUP ON (play_id) WITHIN INTERVAL '1' HOUR) LIVE plays;
CREATE STREAM users (user_id BIGINT, country TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE users;
CREATE VIEW counted AS
SELECT p.play_id, p.user_id AS listener, p.track, u.country, p.at,
       count(*) OVER (PARTITION BY p.user_id ORDER BY p.at RANGE INTERVAL '1' DAY PRECEDING) AS plays
FROM plays p ASOF LEFT JOIN users u ON u.user_id = p.user_id AND u.at <= p.at;
-- The key of the window goes below everything but DEDUP, the track stays above the window, and so does the count.
INSERT INTO lake.some SELECT listener, plays FROM counted WHERE listener > 7 AND track <> '' AND plays > 1;
CREATE VIEW summed AS
SELECT user_id, track, sum(seconds) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS seconds
FROM plays;
-- The sum can fail, so nothing passes it.
INSERT INTO lake.summed SELECT * FROM summed WHERE user_id > 7;
CREATE VIEW cast_first AS SELECT play_id, track, seconds FROM plays;
-- What can fail passes nothing, nothing after it does, and nothing before it that may be NULL.
INSERT INTO lake.cast SELECT * FROM cast_first WHERE seconds > 1 AND CAST(track AS BIGINT) > 1 AND play_id > 1;
