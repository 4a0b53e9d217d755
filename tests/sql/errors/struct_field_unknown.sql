CREATE STREAM messages (
  message_id TEXT, sender_id BIGINT, text_len INT, has_link BOOLEAN, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';

CREATE MODEL spam FROM 'models/spam.onnx';

CREATE VIEW scored AS
SELECT message_id, predict(spam, msgs_1m => 1, msgs_1h => 2, recipients_1h => 3, link_share_1h => 0.5) AS s FROM messages;

CREATE VIEW cut AS SELECT message_id, s.probability AS p FROM scored;
