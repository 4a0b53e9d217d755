CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
CREATE DECISION d ON plays SUBJECT user_id TO actions AS
  RULE r WHEN seconds > 1 THEN 'a'
  RULE r WHEN seconds > 2 THEN 'b';
