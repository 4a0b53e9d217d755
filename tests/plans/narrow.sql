-- Columns that a chain of steps does not look at go around it, where that spares more than it costs.
CREATE STREAM orders (id BIGINT, buyer BIGINT, seller BIGINT, city TEXT, amount DOUBLE, at TIMESTAMP,
  a BIGINT, b BIGINT, c BIGINT, d BIGINT, e BIGINT, f BIGINT, g BIGINT, h BIGINT, WATERMARK FOR at AS at) LIVE orders;
CREATE STREAM shops (seller BIGINT, country TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE shops;
-- The rows go to the buyer at once, where the decision reads them; the other keys are a branch.
CREATE VIEW features AS
SELECT o.*, s.country,
       count(*) OVER (PARTITION BY o.buyer ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS bought,
       count(*) OVER (PARTITION BY o.a ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS of_a,
       count(*) OVER (PARTITION BY o.b ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS of_b,
       avg(o.amount) OVER (PARTITION BY o.seller ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS average,
       count(*) OVER (PARTITION BY o.city ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS in_city
FROM orders o ASOF LEFT JOIN shops s ON s.seller = o.seller AND s.at <= o.at;
CREATE DECISION watch ON features SUBJECT buyer TO actions AS RULE burst WHEN bought > 60 THEN 'limit';
-- Few columns are wanted, so that all travel together.
INSERT INTO lake.few
SELECT id, count(*) OVER (PARTITION BY c ORDER BY at RANGE INTERVAL '2' HOUR PRECEDING) AS of_c,
       count(*) OVER (PARTITION BY d ORDER BY at RANGE INTERVAL '2' HOUR PRECEDING) AS of_d
FROM orders;
-- lag tells equal rows apart, and what was appended by it stays with its row.
CREATE VIEW previous AS SELECT *, lag(amount) OVER (PARTITION BY buyer ORDER BY at) AS before FROM orders;
INSERT INTO lake.after_lag
SELECT *, count(*) OVER (PARTITION BY city ORDER BY at RANGE INTERVAL '3' HOUR PRECEDING) AS in_city,
       count(*) OVER (PARTITION BY seller ORDER BY at RANGE INTERVAL '3' HOUR PRECEDING) AS sold,
       count(*) OVER (PARTITION BY b ORDER BY at RANGE INTERVAL '3' HOUR PRECEDING) AS of_b,
       count(*) OVER (PARTITION BY c ORDER BY at RANGE INTERVAL '3' HOUR PRECEDING) AS of_c,
       count(*) OVER (PARTITION BY a ORDER BY at RANGE INTERVAL '3' HOUR PRECEDING) AS of_a
FROM (SELECT * FROM previous WHERE before > 1) AS p;
