INSERT INTO lake.a SELECT * FROM plays.csv;
