CREATE STREAM messages (
  message_id TEXT, sender INT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';

CREATE VIEW v AS SELECT message_id, recipient_id FROM messages;
