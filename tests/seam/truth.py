"""The rows of tests/seam by DuckDB, from the log of a topic alone.

truth.py LOG   LOG: JSON lines with partition, index, arrival (microseconds) and payload

The recursive query walks each partition's log: the clock runs on through silence, a row that is behind it by more
than the delay is moved to the earliest moment still open, and no row moves the clock past its own arrival.
The output `once` has late rows dropped.
Prints a JSON object: for each output the rows that it holds, cells joined by |.
"""

import datetime
import json
import sys

import duckdb

QUIET = 1_000_000
DELAY = 2_000_000
DAY = 86_400_000_000
WINDOW = 20_000_000
WITHIN = 30_000_000

WALK = f"""
CREATE TABLE timed AS
WITH RECURSIVE walk AS (
  SELECT partition, index, arrival AS stamp, NULL::BIGINT AS before,
         CASE WHEN event <= arrival + {DAY} THEN least(event, arrival) END AS clock
  FROM log WHERE index = 0
  UNION ALL
  SELECT partition, index, greatest(stamp, arrival), before,
         CASE WHEN event IS NULL OR event > arrival + {DAY} THEN before
              WHEN before IS NULL THEN least(event, arrival)
              ELSE greatest(before, least(event, arrival)) END
  FROM (
    SELECT l.partition, l.index, l.event, l.arrival, w.stamp,
           CASE WHEN w.clock IS NOT NULL
                THEN greatest(w.clock, least(w.clock + l.arrival - w.stamp - {QUIET}, l.arrival - {QUIET})) END AS before
    FROM walk w JOIN log l ON l.partition = w.partition AND l.index = w.index + 1
  )
),
horizon AS (SELECT max(clock) AS reached FROM (SELECT max_by(clock, index) AS clock FROM walk GROUP BY partition))
SELECT l.*, CASE WHEN before IS NULL THEN event ELSE greatest(event, before - {DELAY}) END AS time,
       coalesce(event < before - {DELAY}, false) AS late, (SELECT reached FROM horizon) AS horizon
FROM walk JOIN log l USING (partition, index)
WHERE event IS NOT NULL AND event <= arrival + {DAY}
"""

MOVED = f"""
SELECT id, device, value, event, time, late, count(*) OVER w, sum(value) OVER w
FROM timed
WINDOW w AS (PARTITION BY device ORDER BY time RANGE BETWEEN {WINDOW} PRECEDING AND CURRENT ROW)
QUALIFY time <= horizon
"""

ONCE = f"""
SELECT id, device, value, event, time, late, count(*) OVER w, sum(value) OVER w
FROM (
  SELECT *, lag(time) OVER (PARTITION BY id ORDER BY time, partition, index) AS previous
  FROM timed WHERE NOT late
  QUALIFY previous IS NULL OR time - previous > {WITHIN}
)
WINDOW w AS (PARTITION BY device ORDER BY time RANGE BETWEEN {WINDOW} PRECEDING AND CURRENT ROW)
QUALIFY time <= horizon
"""


def micros(text):
    at = datetime.datetime.fromisoformat(text)
    return (at - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)


def read(path):
    for line in open(path, encoding="utf-8"):
        message = json.loads(line)
        try:
            row = json.loads(message["payload"])
        except json.JSONDecodeError:
            row = {}
        event = micros(row["sent_at"]) if row.get("sent_at") else None
        place = message["partition"], message["index"], message["arrival"]
        yield *place, event, row.get("id"), row.get("device"), row.get("value")


def text(cell):
    if isinstance(cell, bool):
        return str(cell).lower()
    return "NULL" if cell is None else str(cell)


def main():
    db = duckdb.connect()
    db.execute(
        "CREATE TABLE log (partition BIGINT, index BIGINT, arrival BIGINT, event BIGINT, id TEXT, device BIGINT, value BIGINT)"
    )
    db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", list(read(sys.argv[1])))
    db.execute(WALK)
    outputs = {"moved": MOVED, "once": ONCE}
    rows = {name: ["|".join(map(text, row)) for row in db.execute(query).fetchall()] for name, query in outputs.items()}
    print(json.dumps(rows))


main()
