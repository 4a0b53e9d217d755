CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
CREATE VIEW labelled AS SELECT user_id, at, EXISTS (SELECT 1 FROM plays q WHERE q.user_id = p.user_id AND q.at BETWEEN p.at AND p.at + INTERVAL '1' DAY) AS again FROM plays p;
CREATE VIEW v AS SELECT count(*) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS n FROM labelled;
