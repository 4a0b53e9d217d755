CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
CREATE MODEL churn FROM 'models/named.onnx' INPUTS (b, a);
CREATE VIEW v AS SELECT *, seconds AS a, seconds AS b, predict(churn) AS score FROM plays;
