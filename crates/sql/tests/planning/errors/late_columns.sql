CREATE STREAM plays (_arrival BIGINT, at TIMESTAMP, WATERMARK FOR at AS at LATE TO lake.late) LIVE plays;
