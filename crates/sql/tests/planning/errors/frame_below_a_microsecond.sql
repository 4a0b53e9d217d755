CREATE STREAM plays (user_id BIGINT, seconds INTEGER, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
CREATE VIEW v AS
SELECT count(*) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '0.0000001' SECOND PRECEDING) AS n,
       (SELECT count(*) FROM plays o WHERE o.user_id = plays.user_id
         AND o.at BETWEEN plays.at - INTERVAL '1.5 us' AND plays.at) AS m
FROM plays;
