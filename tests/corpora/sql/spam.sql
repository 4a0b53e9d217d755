-- Direct messages, and what to do about those who send too many.

CREATE STREAM messages (
  message_id   TEXT,
  sender_id    BIGINT,
  recipient_id BIGINT,
  text_len     INT,
  has_link     BOOLEAN,
  sent_at      TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';        -- a topic would be `HISTORY raw.messages LIVE messages`

CREATE VIEW sender_features AS
SELECT message_id, sender_id, sent_at, text_len, has_link,
       count(*)                     OVER m1 AS msgs_1m,
       count(*)                     OVER h1 AS msgs_1h,
       count(DISTINCT recipient_id) OVER h1 AS recipients_1h,
       avg(has_link::INT)           OVER h1 AS link_share_1h
FROM messages
WINDOW m1 AS (PARTITION BY sender_id ORDER BY sent_at RANGE INTERVAL '1' MINUTE PRECEDING),
       h1 AS (PARTITION BY sender_id ORDER BY sent_at RANGE INTERVAL '1' HOUR PRECEDING);

CREATE MODEL spam FROM 'models/spam.onnx'
  INPUTS (msgs_1m, msgs_1h, recipients_1h, link_share_1h, text_len)
  OUTPUT probability OF 1;

CREATE VIEW scored AS SELECT *, predict(spam) AS score FROM sender_features;

-- A training table: the features as they were when each message was sent.
INSERT INTO lake.sender_features SELECT * FROM sender_features;

CREATE DECISION dm_spam ON scored SUBJECT sender_id TO actions AS
  RULE burst           WHEN msgs_1m > 20                 THEN 'rate_limit' ONCE PER INTERVAL '10' MINUTE
  RULE model_high      WHEN score > 0.9                  THEN 'block'
  RULE new_link SHADOW WHEN has_link AND msgs_1h < 5     THEN 'review';
