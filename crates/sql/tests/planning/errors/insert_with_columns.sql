CREATE STREAM plays (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;
INSERT INTO lake.plays (id) SELECT user_id FROM plays;
