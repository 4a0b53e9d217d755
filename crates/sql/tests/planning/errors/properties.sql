CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, score DOUBLE, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
INSERT INTO lake.more PROPERTIES ('riverrun.frontier' = 'x') SELECT track FROM plays;
INSERT INTO lake.twice PROPERTIES ('a' = 1, 'a' = 2) SELECT track FROM plays;
