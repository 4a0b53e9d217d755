-- Steps that append columns stand in the order in which rows travel least.
CREATE STREAM messages (id BIGINT, sender_id BIGINT, recipient_id BIGINT, device TEXT, has_link BOOLEAN, seconds INTEGER, at TIMESTAMP,
  WATERMARK FOR at AS at) LIVE messages;
CREATE STREAM accounts (user_id BIGINT, created_at TIMESTAMP, country TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE accounts;
CREATE STREAM reports (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE reports;
-- The sender comes last, by whom the decision reads the rows, and the join on senders goes along.
CREATE VIEW features AS
SELECT m.id, m.sender_id, m.at, a.created_at, a.country,
       count(*) OVER (PARTITION BY m.sender_id ORDER BY m.at RANGE INTERVAL '1' HOUR PRECEDING) AS sent,
       count(*) OVER (PARTITION BY m.recipient_id ORDER BY m.at RANGE INTERVAL '1' HOUR PRECEDING) AS received,
       count(*) OVER d AS of_device, count(m.has_link) OVER d AS links_of_device, count(DISTINCT m.recipient_id) OVER d AS recipients_of_device,
       (SELECT count(*) FROM reports r WHERE r.user_id = m.sender_id AND r.at BETWEEN m.at - INTERVAL '7' DAY AND m.at) AS reports
FROM messages m ASOF LEFT JOIN accounts a ON a.user_id = m.sender_id AND a.at <= m.at
WINDOW d AS (PARTITION BY m.device ORDER BY m.at RANGE INTERVAL '1' DAY PRECEDING);
CREATE DECISION watch ON features SUBJECT sender_id TO actions AS RULE burst WHEN sent > 60 THEN 'limit';
-- A row on which the sum fails is removed there: windows stay on their side of it.
INSERT INTO lake.sums
SELECT id, count(DISTINCT sender_id) OVER (PARTITION BY recipient_id ORDER BY at RANGE INTERVAL '2' HOUR PRECEDING) AS senders,
       max(seconds) OVER (PARTITION BY recipient_id ORDER BY at RANGE INTERVAL '2' HOUR PRECEDING) AS longest,
       sum(seconds) OVER (PARTITION BY device ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS seconds,
       count(*) OVER (PARTITION BY sender_id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS sent
FROM messages;
