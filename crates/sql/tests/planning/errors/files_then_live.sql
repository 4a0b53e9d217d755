CREATE STREAM plays (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '5' SECOND)
  HISTORY FILES 'data/plays*.parquet' LIVE plays;
CREATE VIEW v AS SELECT user_id FROM plays;
