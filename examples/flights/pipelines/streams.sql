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
