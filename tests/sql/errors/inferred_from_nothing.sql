CREATE STREAM messages (
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/none/*.parquet';
