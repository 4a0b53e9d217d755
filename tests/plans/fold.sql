-- Constants are computed once, a filter that always holds goes, and what fails stays.
CREATE STREAM plays (user_id BIGINT, seconds INTEGER, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;
CREATE VIEW long AS
SELECT user_id, seconds / (60 * 60) AS hours, upper('a' || 'b') AS letters, 1 // 0 AS never, seconds + -1 AS less
FROM plays
WHERE 1 + 1 = 2 AND seconds > 10 * 6;
INSERT INTO lake.all_plays SELECT * FROM plays WHERE 2 > 1;
INSERT INTO lake.long SELECT * FROM long WHERE CAST('true' AS BOOLEAN);
