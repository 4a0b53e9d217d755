-- Several outputs want different rows of one view: what none of them wants is dropped before the rows travel.
CREATE STREAM plays (play_id BIGINT, user_id BIGINT, kind TEXT, seconds INTEGER, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;
CREATE STREAM users (user_id BIGINT, country TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE users;
CREATE VIEW known AS
SELECT p.play_id, p.user_id, p.kind, p.seconds, u.country
FROM plays p ASOF LEFT JOIN users u ON u.user_id = p.user_id AND u.at <= p.at;
-- The country is known after the join alone.
INSERT INTO lake.songs SELECT play_id, country FROM known WHERE kind = 'song' AND country = 'DE';
INSERT INTO lake.videos SELECT play_id, seconds FROM known WHERE kind = 'video' AND seconds > 30;
CREATE VIEW counted AS
SELECT play_id, user_id, kind, count(*) OVER (PARTITION BY user_id, kind ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS plays
FROM plays;
-- Only what is on the key passes a window: plays of the user that are not wanted are counted for those that are.
INSERT INTO lake.some SELECT play_id, plays FROM counted WHERE user_id = 1 AND play_id > 10;
INSERT INTO lake.others SELECT play_id, plays FROM counted WHERE user_id > 7;
-- One of the outputs wants every row.
CREATE VIEW every AS
SELECT play_id, count(*) OVER (PARTITION BY play_id ORDER BY at RANGE INTERVAL '1' DAY PRECEDING) AS plays FROM plays;
INSERT INTO lake.every SELECT * FROM every;
INSERT INTO lake.one SELECT * FROM every WHERE play_id = 1;
-- All hits travel to their track anyway, since another view wants them all there.
CREATE STREAM hits (hit_id BIGINT, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE hits;
CREATE VIEW hour AS
SELECT hit_id, track, lag(hit_id) OVER (PARTITION BY track ORDER BY at) AS before FROM hits;
CREATE VIEW named AS
SELECT h.hit_id, h.track, u.country FROM hits h ASOF LEFT JOIN users u ON u.country = h.track AND u.at <= h.at;
INSERT INTO lake.before SELECT hit_id, before FROM hour;
INSERT INTO lake.a SELECT hit_id, country FROM named WHERE track = 'a';
INSERT INTO lake.b SELECT hit_id, country FROM named WHERE track = 'b';
