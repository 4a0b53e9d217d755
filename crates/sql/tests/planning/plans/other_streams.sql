-- Aggregates over other streams with many shapes; as-of joins of several kinds.
CREATE STREAM orders (order_id BIGINT, shop INTEGER, buyer TEXT, total DOUBLE, at TIMESTAMP,
  WATERMARK FOR at AS at) HISTORY raw.orders LIVE orders;
CREATE STREAM refunds (order_id BIGINT, shop BIGINT, amount DOUBLE, reason TEXT, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '1' MINUTE QUIET NEVER) HISTORY raw.refunds LIVE refunds;
CREATE STREAM rates (currency TEXT, rate DOUBLE, at TIMESTAMP, WATERMARK FOR at AS at) LIVE rates;
CREATE STREAM events (WATERMARK FOR at AS at - INTERVAL '5' SECOND) HISTORY raw.events;

CREATE VIEW features AS
WITH big AS (SELECT * FROM orders WHERE total > 100)
SELECT o.order_id, o.at, o.total * r.rate AS euros,
       (SELECT sum(amount) FROM refunds WHERE refunds.shop = o.shop AND refunds.at >= o.at - INTERVAL '30' DAY AND refunds.at < o.at) AS refunded,
       (SELECT coalesce(sum(f.amount), 0) / count(*) FROM refunds f
         WHERE f.shop = o.shop AND f.reason LIKE 'late%' AND f.at BETWEEN o.at - INTERVAL '30' DAY AND o.at - INTERVAL '1' DAY) AS late_share,
       (SELECT count(DISTINCT buyer) FROM orders p WHERE p.shop = o.shop AND p.at BETWEEN o.at - INTERVAL '1' HOUR AND o.at) AS buyers,
       NOT EXISTS (SELECT 1 FROM refunds f WHERE o.order_id = f.order_id AND o.at <= f.at AND f.at <= o.at + INTERVAL '7' DAY) AS kept,
       EXISTS (SELECT 1 FROM refunds f WHERE o.order_id = f.order_id AND f.at BETWEEN o.at AND o.at + INTERVAL '1' DAY) AS refunded_1d,
       (SELECT count(*) FROM refunds f WHERE f.at BETWEEN o.at AND o.at + INTERVAL '30' DAY AND f.shop = o.shop) AS refunds_ahead
FROM big o
ASOF JOIN rates r ON r.at < o.at - INTERVAL '5' SECOND;

-- What is known late can be read by its own time only.
CREATE VIEW known AS
SELECT order_id, count(*) OVER (PARTITION BY order_id ORDER BY _time RANGE INTERVAL '1' DAY PRECEDING) AS n
FROM features WHERE kept;

CREATE VIEW recent AS
SELECT e.user_id, e.at, count(*) OVER (PARTITION BY e.user_id ORDER BY e.at RANGE INTERVAL '1' DAY PRECEDING) AS n
FROM events e
WHERE EXISTS (SELECT 1 FROM orders o WHERE o.order_id = e.user_id AND o.at BETWEEN e.at - INTERVAL '1' DAY AND e.at);
