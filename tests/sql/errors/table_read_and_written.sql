CREATE STREAM messages (
  message_id TEXT, sender_id BIGINT, text_len INT, has_link BOOLEAN, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';

INSERT INTO raw.messages SELECT * FROM messages;

CREATE STREAM copies (
  message_id TEXT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY raw.messages;

INSERT INTO lake.copies SELECT * FROM copies;
