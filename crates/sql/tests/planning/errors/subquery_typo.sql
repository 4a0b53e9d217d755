CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
CREATE STREAM users (user_id BIGINT, country TEXT, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at) HISTORY raw.users LIVE users;
CREATE VIEW v AS
SELECT (SELECT count(*) FROM users u WHERE u.usr_id = p.user_id AND u.changed_at BETWEEN p.at - INTERVAL '1' DAY AND p.at) AS n FROM plays p;
