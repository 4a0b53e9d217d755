-- Columns go around the steps of other keys, and rows come together again: late ones, equal ones, rows of no key.
CREATE STREAM orders (id BIGINT, buyer BIGINT, seller BIGINT, city TEXT, amount BIGINT, at TIMESTAMP,
  a BIGINT, b TEXT, c DOUBLE, d BOOLEAN, e BIGINT, f BIGINT, g BIGINT, h BIGINT,
  WATERMARK FOR at AS at - INTERVAL '1' MINUTE) LIVE orders ON BAD ROW DEAD LETTER TO lake.bad;
CREATE STREAM shops (seller BIGINT, country TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE shops;
CREATE STREAM returns (buyer BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE returns;
CREATE VIEW features AS
SELECT o.*, s.country,
       count(*) OVER (PARTITION BY o.buyer ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS bought,
       count(*) OVER (PARTITION BY o.g ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS of_g,
       count(*) OVER (PARTITION BY o.h ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS of_h,
       max(o.amount) OVER (PARTITION BY o.seller ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS most,
       lag(o.b) OVER (PARTITION BY o.city ORDER BY o.at) AS before,
       count(*) OVER (PARTITION BY o.city ORDER BY o.at RANGE INTERVAL '1' HOUR PRECEDING) AS in_city,
       (SELECT count(*) FROM returns r WHERE r.buyer = o.buyer AND r.at BETWEEN o.at - INTERVAL '1' DAY AND o.at) AS returned
FROM orders o ASOF LEFT JOIN shops s ON s.seller = o.seller AND s.at <= o.at;
-- A row on which the sum fails, after a branch, and one on which the division does.
CREATE VIEW sums AS
SELECT *, sum(amount) OVER (PARTITION BY buyer ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS total, 10 // a AS share FROM features;
CREATE DECISION watch ON sums SUBJECT seller TO actions AS RULE many WHEN in_city > 2 THEN 'look';

TEST 'branches';
GIVEN shops (seller, country, at) VALUES (1, 'DE', TIMESTAMP '2026-01-01 00:00:00'), (2, 'FR', TIMESTAMP '2026-01-01 00:02:00');
GIVEN returns (buyer, at) VALUES (7, TIMESTAMP '2026-01-01 00:00:30');
GIVEN orders (id, buyer, seller, city, amount, at, a, b, c, d, e, f, g, h) VALUES
  (1, 7,    1,    'x',  5, TIMESTAMP '2026-01-01 00:01:00', 1, 'one',   0.5, TRUE, 1, 2, 3, 4),
  (2, 8,    1,    'y',  9, TIMESTAMP '2026-01-01 00:01:00', 2, 'two',   1.5, TRUE, 1, 2, 3, 4),
  (3, 7,    2,    'x',  4, TIMESTAMP '2026-01-01 00:03:00', 5, 'three', NULL, FALSE, 1, 2, 3, 4),
  (4, NULL, 2,    NULL, 3, TIMESTAMP '2026-01-01 00:03:00', 5, 'four',  2.5, NULL, 1, 2, 3, 4),
  (5, 8,    NULL, 'x',  2, TIMESTAMP '2026-01-01 00:04:00', 0, 'five',  3.5, TRUE, 1, 2, 3, 4),
  (6, 8,    1,    'x',  9223372036854775807, TIMESTAMP '2026-01-01 00:05:00', 1, 'six', 4.5, TRUE, 1, 2, 3, 4),
  (7, 7,    1,    'y',  1, TIMESTAMP '2026-01-01 00:06:00', 1, 'seven', 5.5, TRUE, 1, 2, 3, 4),
  (7, 7,    1,    'y',  1, TIMESTAMP '2026-01-01 00:06:00', 1, 'seven', 5.5, TRUE, 1, 2, 3, 4);
EXPECT features (id, b, c, country, bought, most, before, in_city, returned, h) VALUES
  (1, 'one',   0.5,  'DE', 1, 9, NULL,   1, 1, 4),
  (2, 'two',   1.5,  'DE', 1, 9, NULL,   1, 0, 4),
  (3, 'three', NULL, 'FR', 2, 4, 'one',  2, 1, 4),
  (4, 'four',  2.5,  'FR', 1, 4, NULL,   1, 0, 4),
  (5, 'five',  3.5,  NULL, 2, 2, 'three', 3, 0, 4),
  (7, 'seven', 5.5,  'DE', 4, 9223372036854775807, 'two', 3, 1, 4),
  (7, 'seven', 5.5,  'DE', 4, 9223372036854775807, 'seven', 3, 1, 4);
EXPECT sums (id, total, share) VALUES (1, 5, 10), (3, 9, 2), (7, 11, 10);
EXPECT NO ROWS watch WHERE action <> 'look';
