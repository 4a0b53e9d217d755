CREATE STREAM plays (user_id BIGINT, at TIMESTAMP) LIVE plays;
