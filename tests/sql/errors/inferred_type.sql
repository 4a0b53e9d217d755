CREATE STREAM messages (
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';

CREATE VIEW v AS SELECT message_id, has_link + 1 AS links, sent_at > 7 AS late FROM messages;
