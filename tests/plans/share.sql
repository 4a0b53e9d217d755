-- Views that compute the same share it; windows of one key share their log.
CREATE STREAM plays (user_id BIGINT, seconds INTEGER, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;
CREATE STREAM likes (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE likes;
INSERT INTO lake.counts
SELECT user_id, count(*) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS day,
       (SELECT count(*) FROM likes l WHERE l.user_id = plays.user_id AND l.at BETWEEN plays.at - INTERVAL '1' DAY AND plays.at) AS likes
FROM plays;
INSERT INTO lake.more
SELECT track, count(*) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS plays,
       max(seconds) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS longest,
       (SELECT count(*) FROM likes m WHERE m.user_id = p.user_id AND m.at BETWEEN p.at - INTERVAL '1' DAY AND p.at) AS likes
FROM plays p;
-- A sum of integers can fail, and is bad once for each view.
INSERT INTO lake.sums SELECT track, sum(seconds) OVER (PARTITION BY track ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS s FROM plays;
INSERT INTO lake.sums_again SELECT track, sum(seconds) OVER (PARTITION BY track ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS s FROM plays;
-- One evaluation of a model for all that is asked of it, whatever view asks.
CREATE MODEL half FROM 'models/half.onnx' INPUTS (a, b);
INSERT INTO lake.scored SELECT user_id, predict(half, a => seconds, b => user_id) AS score FROM plays;
INSERT INTO lake.faults
SELECT track, predict(half, a => seconds, b => user_id) AS score, predict_fault(half, a => seconds, b => user_id) AS fault FROM plays;
