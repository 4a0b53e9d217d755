CREATE STREAM profiles (
  ts        TIMESTAMP,
  author_id BIGINT,
  followers BIGINT,
  plan      INTEGER,
  verified  BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) HISTORY FILES '{profiles}';
