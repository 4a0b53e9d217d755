CREATE STREAM plays (user_id BIGINT, track TEXT, seconds INTEGER, score DOUBLE, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.plays LIVE plays;
INSERT INTO lake.a PROPERTIES ('write.target-file-size-byte' = 1000) SELECT track FROM plays;
INSERT INTO lake.b PROPERTIES ('write.target-file-size-bytes' = 'banana') SELECT track FROM plays;
INSERT INTO lake.c PROPERTIES ('gc.enabled' = 'maybe') SELECT track FROM plays;
INSERT INTO lake.d PROPERTIES ('write.metadata.metrics.default' = 'foo') SELECT track FROM plays;
INSERT INTO lake.e PROPERTIES ('write.parquet.bloom-filter-enabled.column.trak' = TRUE) SELECT track FROM plays;
INSERT INTO lake.f PROPERTIES ('owner' = 'ana', 'write.metadata.metrics.column.track' = 'truncate(8)') SELECT track FROM plays;
INSERT INTO lake.g PARTITION BY TRACK, track SORT BY Track SELECT track FROM plays;
INSERT INTO lake.h PROPERTIES ('format-version' = 3) SELECT track FROM plays;
INSERT INTO lake.i PROPERTIES ('write.spark.fanout.enabled' = TRUE, 'write.update.isolation-level' = 'snapshot', 'write.orc.block-size-bytes' = 1, 'write.of-tomorrow' = 1) SELECT track FROM plays;
INSERT INTO lake.j PROPERTIES ('write.metadata.path' = '/x') SELECT track FROM plays;
INSERT INTO lake.k PROPERTIES ('write.data.path' = 'rel/x') SELECT track FROM plays;
