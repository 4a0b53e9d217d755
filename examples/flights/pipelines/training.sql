-- One row per flight that landed with a known delay, written when 36 hours have
-- passed since its scheduled departure; the longest took 32.7 hours. Cancelled
-- flights stay out: only they can lack a tailnum, which a model would learn.

INSERT INTO lake.flights_training
SELECT f.*,
       EXISTS (SELECT 1 FROM arrivals a WHERE a.flight_id = f.flight_id AND a.arr_delay > 15
                 AND a.landed_at BETWEEN f.scheduled_at AND f.scheduled_at + INTERVAL '36' HOUR) AS late
FROM features f
WHERE EXISTS (SELECT 1 FROM arrivals a WHERE a.flight_id = f.flight_id AND a.arr_delay IS NOT NULL
                AND a.landed_at BETWEEN f.scheduled_at AND f.scheduled_at + INTERVAL '36' HOUR);
