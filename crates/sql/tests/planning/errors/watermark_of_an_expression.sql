CREATE STREAM plays (at TIMESTAMP, WATERMARK FOR at AS date_trunc('hour', at)) LIVE plays;
