-- A model fails on rows that some outputs want, and on others that nobody does.
CREATE STREAM plays (play_id BIGINT, kind TEXT, seconds DOUBLE, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE plays;
CREATE MODEL whole FROM 'models/whole.onnx' INPUTS (seconds);
CREATE VIEW scored AS SELECT *, predict(whole) AS score, predict_fault(whole) AS fault FROM plays;
CREATE VIEW songs AS SELECT play_id, score, fault FROM scored WHERE kind = 'song';
CREATE VIEW long AS SELECT play_id, fault FROM scored WHERE kind = 'video';
CREATE VIEW all_kinds AS SELECT play_id, kind FROM (SELECT *, predict(whole, seconds => play_id) AS score FROM plays) AS plays;

TEST 'scores that nobody wants';
GIVEN plays (play_id, kind, seconds, ts) VALUES
  (1, 'song',  5,    TIMESTAMP '2026-01-01 00:00:00'),
  (2, 'song',  NULL, TIMESTAMP '2026-01-01 00:00:01'),
  (3, 'video', NULL, TIMESTAMP '2026-01-01 00:00:02'),
  (4, 'noise', NULL, TIMESTAMP '2026-01-01 00:00:03'),
  (NULL, NULL, NULL, TIMESTAMP '2026-01-01 00:00:04');
EXPECT EXACTLY songs (play_id, score) VALUES (1, 0.5), (2, NULL);
EXPECT NO ROWS long WHERE fault IS NULL;
EXPECT NO ROWS all_kinds WHERE FALSE;
