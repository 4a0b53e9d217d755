-- What is known about a flight at its scheduled departure. Delays come from
-- landings alone: when a flight is due, most of those that left within the hour
-- are still in the air, and their delays are nobody's to know.

CREATE VIEW features AS
SELECT d.flight_id, d.scheduled_at, d.carrier, d.flight, d.tailnum, d.origin, d.dest,
       d.distance, d.weekday, d.local_departure, d.local_arrival, d.scheduled_minutes,

       w.temp, w.humid, w.wind_speed, w.precip, w.pressure, w.visib,
       epoch(d.scheduled_at - w.observed_at) / 60                 AS weather_age_minutes,

       count(*) OVER origin_1h                                    AS origin_departures_1h,
       count(*) OVER carrier_3h                                   AS carrier_departures_3h,
       count(*) OVER aircraft_1d                                  AS aircraft_departures_1d,

       (SELECT max(a.arr_delay) FROM arrivals a WHERE a.tailnum = d.tailnum
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '1' DAY AND d.scheduled_at)  AS aircraft_max_delay_1d,
       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.tailnum = d.tailnum
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '1' DAY AND d.scheduled_at)  AS aircraft_avg_delay_1d,
       (SELECT count(*) FROM arrivals a WHERE a.tailnum = d.tailnum
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '1' DAY AND d.scheduled_at)  AS aircraft_landings_1d,

       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.carrier = d.carrier
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '1' HOUR AND d.scheduled_at) AS carrier_avg_delay_1h,
       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.carrier = d.carrier
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '6' HOUR AND d.scheduled_at) AS carrier_avg_delay_6h,
       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.carrier = d.carrier
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '7' DAY AND d.scheduled_at)  AS carrier_avg_delay_7d,
       (SELECT count(*) FROM arrivals a WHERE a.carrier = d.carrier AND a.arr_delay > 15
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '6' HOUR AND d.scheduled_at) AS carrier_late_6h,

       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.origin = d.origin AND a.dest = d.dest
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '1' HOUR AND d.scheduled_at) AS route_avg_delay_1h,
       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.origin = d.origin AND a.dest = d.dest
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '6' HOUR AND d.scheduled_at) AS route_avg_delay_6h,
       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.origin = d.origin AND a.dest = d.dest
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '7' DAY AND d.scheduled_at)  AS route_avg_delay_7d,
       (SELECT count(*) FROM arrivals a WHERE a.origin = d.origin AND a.dest = d.dest AND a.arr_delay > 15
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '7' DAY AND d.scheduled_at)  AS route_late_7d,

       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.origin = d.origin
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '1' HOUR AND d.scheduled_at) AS origin_avg_delay_1h,
       (SELECT max(a.arr_delay) FROM arrivals a WHERE a.origin = d.origin
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '1' HOUR AND d.scheduled_at) AS origin_max_delay_1h,
       (SELECT count(*) FROM arrivals a WHERE a.origin = d.origin AND a.arr_delay > 15
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '1' HOUR AND d.scheduled_at) AS origin_late_1h,
       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.origin = d.origin
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '6' HOUR AND d.scheduled_at) AS origin_avg_delay_6h,
       (SELECT avg(a.arr_delay) FROM arrivals a WHERE a.origin = d.origin
          AND a.landed_at BETWEEN d.scheduled_at - INTERVAL '7' DAY AND d.scheduled_at)  AS origin_avg_delay_7d
FROM departures d
ASOF LEFT JOIN weather w ON w.origin = d.origin AND w.observed_at <= d.scheduled_at
WINDOW origin_1h   AS (PARTITION BY d.origin ORDER BY d.scheduled_at RANGE INTERVAL '1' HOUR PRECEDING),
       carrier_3h  AS (PARTITION BY d.carrier, d.origin ORDER BY d.scheduled_at RANGE INTERVAL '3' HOUR PRECEDING),
       aircraft_1d AS (PARTITION BY d.tailnum ORDER BY d.scheduled_at RANGE INTERVAL '1' DAY PRECEDING);
