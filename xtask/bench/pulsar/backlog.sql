CREATE STREAM messages (id BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '0' SECOND
) LIVE messages;
INSERT INTO lake.none SELECT id, sent_at FROM messages WHERE id < 0;
