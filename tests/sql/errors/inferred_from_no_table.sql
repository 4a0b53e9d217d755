CREATE STREAM messages (
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY raw.messages LIVE messages;

CREATE VIEW v AS SELECT * FROM messages;
