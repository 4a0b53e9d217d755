CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, score DOUBLE, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
INSERT INTO lake.copies PARTITION BY day(att), bucket(16, user_id)
SELECT user_id, at FROM plays;
