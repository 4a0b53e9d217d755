CREATE STREAM messages (
  message_id TEXT, sender_id BIGINT, text_len INT, has_link BOOLEAN, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';

INSERT INTO lake.small SELECT CAST(text_len AS SMALLINT) AS length FROM messages;
INSERT INTO "lake.a b" SELECT sender_id FROM messages;
INSERT INTO TOPIC "new messages" SELECT sender_id FROM messages;
