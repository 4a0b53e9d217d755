CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, score DOUBLE, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
INSERT INTO lake.copies PARTITION BY dya(at) SELECT at FROM plays;
INSERT INTO lake.more PARTITION BY bucket(user_id) SELECT user_id FROM plays;
INSERT INTO lake.none PARTITION BY bucket(0, user_id) SELECT user_id FROM plays;
