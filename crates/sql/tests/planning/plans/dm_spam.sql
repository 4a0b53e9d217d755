CREATE STREAM messages (
  message_id TEXT, sender_id BIGINT, recipient_id BIGINT,
  text_len INT, has_link BOOLEAN, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND,
  DEDUP ON (message_id) WITHIN INTERVAL '1' HOUR            -- bounded state
) HISTORY raw.messages LIVE messages;

CREATE STREAM accounts (user_id BIGINT, created_at TIMESTAMP, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at - INTERVAL '2' SECOND
) HISTORY raw.accounts LIVE accounts;

CREATE STREAM reports (message_id TEXT, sender_id BIGINT, reported_at TIMESTAMP,
  WATERMARK FOR reported_at AS reported_at - INTERVAL '2' SECOND
) HISTORY raw.reports LIVE reports;

CREATE VIEW sender_features AS
SELECT m.message_id, m.sender_id, m.sent_at, m.text_len, m.has_link,
       count(*)                       OVER m1 AS msgs_1m,
       count(*)                       OVER h1 AS msgs_1h,
       count(DISTINCT m.recipient_id) OVER h1 AS recipients_1h,
       avg(m.has_link::INT)           OVER d1 AS link_share_1d,
       (SELECT count(*) FROM reports r WHERE r.sender_id = m.sender_id
          AND r.reported_at BETWEEN m.sent_at - INTERVAL '7' DAY AND m.sent_at) AS reports_7d,
       epoch(m.sent_at - a.created_at)        AS account_age_s
FROM messages m
ASOF LEFT JOIN accounts a ON a.user_id = m.sender_id AND a.changed_at <= m.sent_at
WINDOW m1 AS (PARTITION BY m.sender_id ORDER BY m.sent_at RANGE INTERVAL '1' MINUTE PRECEDING),
       h1 AS (PARTITION BY m.sender_id ORDER BY m.sent_at RANGE INTERVAL '1' HOUR PRECEDING),
       d1 AS (PARTITION BY m.sender_id ORDER BY m.sent_at RANGE INTERVAL '1' DAY PRECEDING);

INSERT INTO lake.spam_training                               -- one row per message, labelled when the label is known
SELECT f.*, EXISTS (SELECT 1 FROM reports r WHERE r.message_id = f.message_id
         AND r.reported_at BETWEEN f.sent_at AND f.sent_at + INTERVAL '7' DAY) AS label
FROM sender_features f;

CREATE MODEL spam FROM 'models/spam.onnx'
  INPUTS (msgs_1m, msgs_1h, recipients_1h, link_share_1d, reports_7d, account_age_s, text_len)
  OUTPUT probability OF 1;                                   -- of the class labelled 1

CREATE VIEW scored AS SELECT *, predict(spam) AS score FROM sender_features;

CREATE EXPERIMENT spam_cut ON sender_id ARMS (control 90, strict 10);

CREATE DECISION dm_spam ON scored SUBJECT sender_id TO actions AS
  RULE burst      WHEN msgs_1m > 60                               THEN 'rate_limit' ONCE PER INTERVAL '10' MINUTE
  RULE model_high WHEN score > 0.97                               THEN 'block'
  RULE strict     WHEN score > 0.90 AND arm(spam_cut) = 'strict'  THEN 'challenge'
  RULE new_link   SHADOW WHEN has_link AND coalesce(account_age_s, 0) < 86400 THEN 'review';

ARCHIVE messages;

TEST 'a new account that bursts is rate limited';
GIVEN messages (message_id, sender_id, recipient_id, text_len, has_link, sent_at)
  SELECT 'm' || i, 1, i, 20, false, TIMESTAMP '2026-01-01 00:00:00' + i * INTERVAL '500 ms'
  FROM generate_series(1, 61) AS g(i);
GIVEN MODEL spam SCORES 0.1;
EXPECT sender_features (message_id, msgs_1m, recipients_1h) VALUES ('m61', 61, 61);
EXPECT dm_spam (message_id, action) VALUES ('m61', 'rate_limit');
