CREATE STREAM plays (WATERMARK FOR at AS at) HISTORY raw.nothing;
