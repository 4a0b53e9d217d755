CREATE STREAM plays (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;

CREATE VIEW w AS
SELECT
  id,
  upper('a') AS a
  lower('b') AS b
FROM plays;
