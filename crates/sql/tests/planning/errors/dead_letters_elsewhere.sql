CREATE STREAM plays (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at LATE TO lake.bad)
  LIVE plays ON BAD ROW DEAD LETTER TO lake.bad;

CREATE STREAM likes (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at)
  LIVE likes ON BAD ROW DEAD LETTER TO lake.likes;

INSERT INTO lake.likes SELECT user_id FROM likes;
