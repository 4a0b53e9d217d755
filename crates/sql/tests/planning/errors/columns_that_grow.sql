CREATE STREAM s (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY raw.s;
CREATE VIEW v AS SELECT
  id AS x0,
  x0+x0 AS x1,
  x1+x1 AS x2,
  x2+x2 AS x3,
  x3+x3 AS x4,
  x4+x4 AS x5,
  x5+x5 AS x6,
  x6+x6 AS x7,
  x7+x7 AS x8,
  x8+x8 AS x9,
  x9+x9 AS x10,
  x10+x10 AS x11,
  x11+x11 AS x12,
  x12+x12 AS x13,
  x13+x13 AS x14,
  x14+x14 AS x15,
  x15+x15 AS x16,
  x16+x16 AS x17,
  x17+x17 AS x18,
  x18+x18 AS x19,
  x19+x19 AS x20
FROM s;
INSERT INTO lake.v SELECT * FROM v;
