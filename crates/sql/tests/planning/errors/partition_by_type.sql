CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, score DOUBLE, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
INSERT INTO lake.copies PARTITION BY hour(track) SELECT track, at FROM plays;
INSERT INTO lake.scores PARTITION BY bucket(4, score) SELECT score FROM plays;
INSERT INTO lake.twice PARTITION BY day(at), month(at) SELECT at FROM plays;
