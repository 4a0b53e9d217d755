CREATE STREAM messages (
  message_id TEXT, sender_id BIGINT, text_len INT, has_link BOOLEAN, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';

CREATE DECISION d ON messages SUBJECT sender_id TO actions AS
  RULE long WHEN text_len THEN 'review'
  RULE link WHEN has_link = 'yes' THEN 'block';
