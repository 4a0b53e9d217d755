-- Orders and refunds: backward aggregates, forward labels, and an as-of join, by hand; DuckDB gives the same.
CREATE STREAM orders (order_id BIGINT, shop INTEGER, total DOUBLE, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE orders;
CREATE STREAM refunds (order_id BIGINT, shop BIGINT, amount DOUBLE, reason TEXT, ts TIMESTAMP,
  WATERMARK FOR ts AS ts) LIVE refunds;
CREATE STREAM rates (rate DOUBLE, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE rates;

CREATE VIEW features AS
SELECT o.order_id, o.ts, o.total * r.rate AS euros,
       (SELECT sum(f.amount) FROM refunds f WHERE f.shop = o.shop AND f.ts BETWEEN o.ts - INTERVAL '1' HOUR AND o.ts) AS refunded_1h,
       (SELECT count(*) FROM refunds f WHERE f.shop = o.shop AND f.reason = 'late' AND f.ts BETWEEN o.ts - INTERVAL '1' HOUR AND o.ts) AS late_1h,
       (SELECT coalesce(sum(f.amount), 0) / count(*) FROM refunds f WHERE f.ts >= o.ts - INTERVAL '2' HOUR AND f.ts < o.ts) AS mean_before,
       NOT EXISTS (SELECT 1 FROM refunds f WHERE f.order_id = o.order_id AND f.ts BETWEEN o.ts AND o.ts + INTERVAL '1' DAY) AS kept,
       (SELECT count(*) FROM refunds f WHERE f.shop = o.shop AND f.ts BETWEEN o.ts AND o.ts + INTERVAL '3' HOUR) AS ahead_3h
FROM orders o ASOF LEFT JOIN rates r ON r.ts <= o.ts;

CREATE VIEW kept AS SELECT order_id, count(*) OVER (ORDER BY _time RANGE INTERVAL '1' HOUR PRECEDING) AS n FROM features WHERE kept;

CREATE VIEW repeated AS
SELECT order_id, ts, count(*) OVER (PARTITION BY shop ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND INTERVAL '1' MINUTE PRECEDING) AS before,
       count(*) FILTER (WHERE total > 10) OVER (PARTITION BY shop ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING) AS big,
       lag(total) OVER (PARTITION BY shop ORDER BY ts) AS last_total
FROM orders o WHERE EXISTS (SELECT 1 FROM rates r WHERE r.ts BETWEEN o.ts - INTERVAL '12' HOUR AND o.ts);

-- Rows of features are known a day later, and `_time` says so.
CREATE VIEW later AS
SELECT order_id, (SELECT count(*) FROM refunds f WHERE f.ts BETWEEN k._time - INTERVAL '1' DAY AND k._time) AS n FROM features k;

TEST 'answers by hand';
GIVEN rates VALUES (2.0, TIMESTAMP '2026-01-01 09:00:00'), (3.0, TIMESTAMP '2026-01-01 10:30:00');
GIVEN orders VALUES
  (1, 7, 10.0, TIMESTAMP '2026-01-01 08:00:00'),
  (2, 7, 20.0, TIMESTAMP '2026-01-01 10:00:00'),
  (3, 7, 30.0, TIMESTAMP '2026-01-01 10:30:00'),
  (4, 8, 40.0, TIMESTAMP '2026-01-01 10:30:00');
GIVEN refunds VALUES
  (2, 7, 5.0, 'late',  TIMESTAMP '2026-01-01 10:00:00'),
  (9, 7, 6.0, 'other', TIMESTAMP '2026-01-01 10:15:00'),
  (9, 8, 7.0, NULL,    TIMESTAMP '2026-01-01 10:29:59'),
  (3, 7, 8.0, 'late',  TIMESTAMP '2026-01-02 10:30:00');
EXPECT EXACTLY features (order_id, euros, refunded_1h, late_1h, mean_before, kept, ahead_3h) VALUES
  (1, NULL, NULL, 0, CAST('nan' AS DOUBLE), true,  2),
  (2, 40.0, 5.0,  1, CAST('nan' AS DOUBLE), false, 2),
  (3, 90.0, 11.0, 1, 6.0,  false, 0),
  (4, 120.0, 7.0, 0, 6.0,  true,  0);
EXPECT EXACTLY kept VALUES (1, 1), (4, 1);
EXPECT EXACTLY repeated (order_id, before, big, last_total) VALUES (2, 0, 1, NULL), (3, 1, 2, 20.0), (4, 0, 1, NULL);
EXPECT EXACTLY later VALUES (1, 3), (2, 3), (3, 1), (4, 1);
EXPECT NO ROWS features WHERE euros > 120;
