CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
CREATE MODEL churn FROM 'models/two.onnx';
CREATE VIEW v AS SELECT predict(churn) AS score FROM plays;
