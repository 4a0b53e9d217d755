CREATE STREAM plays (user_id BIGINT, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'data/plays.csv';
CREATE VIEW v AS SELECT user_id, track || FROM plays;
INSERT INTO lake.v SELECT * FROM v;
