CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, score DOUBLE, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
INSERT INTO lake.copies PROPERTIES (size = 4) SELECT track FROM plays;
