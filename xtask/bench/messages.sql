CREATE STREAM messages (
  event_id      BIGINT,
  ts            TIMESTAMP,
  author_id     BIGINT,
  guild_id      BIGINT,
  channel_id    BIGINT,
  account_age_s BIGINT,
  content_len   INTEGER,
  has_link      BOOLEAN,
  mention_count INTEGER,
  content_hash  BIGINT,
  is_edit       BOOLEAN,
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) HISTORY FILES '{messages}';
