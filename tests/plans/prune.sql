-- Columns that no output needs are not carried: through views, a join, aggregates over another stream and a model.
CREATE STREAM plays (user_id BIGINT, seconds INTEGER, track TEXT, note TEXT, device TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;
CREATE STREAM users (user_id BIGINT, country TEXT, born DATE, at TIMESTAMP, WATERMARK FOR at AS at) LIVE users;
CREATE MODEL churn FROM 'models/churn.onnx' INPUTS (day, week);
CREATE VIEW features AS
SELECT p.*, u.country, u.born,
       count(*) OVER (PARTITION BY p.user_id ORDER BY p.at RANGE INTERVAL '1' DAY PRECEDING) AS day,
       count(*) OVER (PARTITION BY p.user_id ORDER BY p.at RANGE INTERVAL '7' DAY PRECEDING) AS week,
       count(*) OVER (PARTITION BY p.device ORDER BY p.at RANGE INTERVAL '7' DAY PRECEDING) AS of_device,
       CAST(p.note AS INTEGER) AS number,
       lower(p.track) AS small
FROM plays p ASOF LEFT JOIN users u ON u.user_id = p.user_id AND u.at <= p.at;
CREATE VIEW scored AS SELECT *, predict(churn) AS score, predict(churn, day => 0) AS without FROM features;
INSERT INTO lake.scores SELECT user_id, country, score FROM scored;
-- A window of which no function is needed, nor can fail, takes the key with it that nothing else reads.
CREATE VIEW heard AS SELECT user_id, seconds, track, device, at FROM plays WHERE coalesce(seconds, 1) > 0;
CREATE VIEW averages AS
SELECT user_id, at, sum(seconds) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS of_user,
       count(*) OVER (PARTITION BY device ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS of_device
FROM heard;
INSERT INTO lake.heard SELECT user_id, at, of_user FROM averages WHERE of_user > 20;
