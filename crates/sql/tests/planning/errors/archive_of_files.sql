CREATE STREAM plays (at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'data/plays.parquet';
ARCHIVE plays;
ARCHIVE playz;
