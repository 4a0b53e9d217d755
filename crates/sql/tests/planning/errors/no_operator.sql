CREATE STREAM plays (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;
INSERT INTO lake.halves SELECT user_id DIV 2 AS half FROM plays;
