INSERT INTO lake.a SELECT * FROM read_parquet('data/plays.parquet');
