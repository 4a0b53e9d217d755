CREATE STREAM plays (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;

CREATE VIEW far AS SELECT lag(user_id, 4294967296) OVER (ORDER BY at) AS one FROM plays;
CREATE VIEW further AS SELECT lag(user_id, 1e9) OVER (ORDER BY at) AS one FROM plays;
CREATE VIEW just_too_far AS SELECT lag(user_id, 1001) OVER (ORDER BY at) AS one FROM plays;
CREATE VIEW far_enough AS SELECT lag(user_id, 1000) OVER (ORDER BY at) AS one FROM plays;
