CREATE STREAM messages (
  id BIGINT, user_id BIGINT, amount DOUBLE, country TEXT, text TEXT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) LIVE messages;

INSERT INTO bench.decoded SELECT id, amount, text, sent_at FROM messages WHERE amount < 1;
