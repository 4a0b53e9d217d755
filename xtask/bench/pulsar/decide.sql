CREATE STREAM messages (id BIGINT, user_id BIGINT, text_len BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '0' SECOND
) LIVE messages;
CREATE STREAM accounts (user_id BIGINT, level BIGINT, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at - INTERVAL '0' SECOND
) LIVE accounts;
{seen}
CREATE DECISION act ON seen SUBJECT id TO actions AS
  RULE any WHEN text_len >= 0 THEN 'look';
