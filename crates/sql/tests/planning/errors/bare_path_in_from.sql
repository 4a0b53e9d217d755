INSERT INTO lake.a SELECT * FROM data/plays.parquet;
