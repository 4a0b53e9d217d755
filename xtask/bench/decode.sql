CREATE STREAM messages (
  id BIGINT, user_id BIGINT, amount DOUBLE, country TEXT, text TEXT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) LIVE messages;

INSERT INTO bench.decoded SELECT id AS event_id, user_id AS author_id, sent_at AS ts, amount, text FROM messages WHERE amount < 1;
