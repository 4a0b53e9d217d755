CREATE STREAM empty (
  id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '2' SECOND
) HISTORY FILES 'data/empty.jsonl';
CREATE STREAM messages (
  id BIGINT, sent_at TIMESTAMP, WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY FILES 'data/messages.csv';
CREATE STREAM later (
  id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '2' SECOND
) HISTORY FILES 'data/later.csv';
CREATE STREAM topic (
  id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '2' SECOND
) LIVE "a topic";
INSERT INTO lake.all SELECT id FROM empty;
INSERT INTO lake.messages SELECT id FROM messages;
INSERT INTO lake.later SELECT id FROM later;
INSERT INTO lake.topic SELECT id FROM topic;
