CREATE STREAM messages (
  WATERMARK FOR message_id AS message_id - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';
