CREATE STREAM plays (at TIMESTAMP) HISTORY FILES 'data/plays.parquet;
