-- The three inputs. Their events are of 2013 and are published today, so no
-- pause of the publisher may move the watermark: QUIET NEVER.

CREATE STREAM departures (
  flight_id         TEXT,
  scheduled_at      TIMESTAMP,
  carrier           TEXT,
  flight            INTEGER,
  tailnum           TEXT,          -- missing for some cancelled flights, and for no other
  origin            TEXT,
  dest              TEXT,
  distance          INTEGER,
  weekday           INTEGER,       -- 1 is Monday, in New York
  local_departure   INTEGER,       -- minutes after midnight in New York
  local_arrival     INTEGER,       -- minutes after midnight at the destination
  scheduled_minutes INTEGER,
  WATERMARK FOR scheduled_at AS scheduled_at - INTERVAL '0' SECOND QUIET NEVER
) HISTORY raw.departures LIVE departures;

CREATE STREAM arrivals (
  flight_id TEXT,
  landed_at TIMESTAMP,
  carrier   TEXT,
  tailnum   TEXT,
  origin    TEXT,
  dest      TEXT,
  arr_delay INTEGER,               -- minutes; NULL for a diverted flight
  WATERMARK FOR landed_at AS landed_at - INTERVAL '0' SECOND QUIET NEVER
) HISTORY raw.arrivals LIVE arrivals;

CREATE STREAM weather (
  origin      TEXT,
  observed_at TIMESTAMP,
  temp        DOUBLE,
  dewp        DOUBLE,
  humid       DOUBLE,
  wind_dir    DOUBLE,
  wind_speed  DOUBLE,
  wind_gust   DOUBLE,
  precip      DOUBLE,
  pressure    DOUBLE,
  visib       DOUBLE,
  WATERMARK FOR observed_at AS observed_at - INTERVAL '0' SECOND QUIET NEVER
) HISTORY raw.weather LIVE weather;

ARCHIVE departures;
ARCHIVE arrivals;
ARCHIVE weather;
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
