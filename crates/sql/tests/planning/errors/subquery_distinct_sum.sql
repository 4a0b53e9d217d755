CREATE STREAM plays (user_id BIGINT, seconds INTEGER, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
CREATE VIEW v AS
SELECT (SELECT sum(DISTINCT o.seconds) FROM plays o WHERE o.user_id = plays.user_id
         AND o.at BETWEEN plays.at - INTERVAL '1' DAY AND plays.at) AS total
FROM plays;
