CREATE STREAM asked (id BIGINT, at TIMESTAMP, author_id BIGINT, WATERMARK FOR at AS at - INTERVAL '1' SECOND)
  LIVE asked;

INSERT INTO bench.answered
SELECT a.id, m.event_id, m.guild_id, m.channel_id, m.account_age_s, m.content_len, m.mention_count, m.content_hash
FROM asked a ASOF LEFT JOIN messages m ON a.author_id = m.author_id AND a.at >= m.ts;
