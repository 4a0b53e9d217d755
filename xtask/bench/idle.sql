INSERT INTO TOPIC joined
SELECT a.id, b.id AS b_id, c.id AS c_id,
       (SELECT count(*) FROM s3 d WHERE d.id = a.id AND d.at BETWEEN a.at - INTERVAL '1' HOUR AND a.at) AS n
FROM s0 a
ASOF LEFT JOIN s1 b ON b.id = a.id AND b.at <= a.at
ASOF LEFT JOIN s2 c ON c.id = a.id AND c.at <= a.at;
