CREATE STREAM messages (
  message_id TEXT, sender_id BIGINT, text_len INT, has_link BOOLEAN, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';

CREATE STREAM accounts (user_id TEXT, created_at TIMESTAMP, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at - INTERVAL '2' SECOND
) HISTORY raw.accounts LIVE accounts;

CREATE VIEW v AS
SELECT m.message_id, a.created_at
FROM messages m
ASOF LEFT JOIN accounts a ON a.user_id = m.sender_id AND a.changed_at <= m.sent_at;
