"""The training table of moments.rs, from the messages of its topics alone, as Pulsar's Java client gives them.

    moments.py PLAYS RATES      each a file with a line of JSON for each message

A partition is walked message by message: the clock of the stream's declaration is kept in Python, and DuckDB computes windows,
the join and the label over the times that come out. Prints the rows whose label was known where the inputs end, a line for each,
in the sequence of their text.
"""

import datetime
import json
import sys
from collections import defaultdict

import duckdb

MILLI = 1_000
SECOND = 1_000 * MILLI
DAY = 86_400 * SECOND
EPOCH = datetime.datetime(1970, 1, 1)

# As the pipeline declares them.
QUIET = 400 * MILLI
DELAY = {"plays": 500 * MILLI, "rates": 0}
BOUND = SECOND


def read(path):
    """The messages of each partition in the sequence of its log."""
    logs = defaultdict(list)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            logs[message["partition"]].append(message)
    for partition, log in logs.items():
        places = [(message["ledger"], message["entry"], message["batch_index"]) for message in log]
        assert places == sorted(set(places)), f"partition {partition} of {path} is out of order"
        assert [message["index"] for message in log] == list(range(len(log))), f"{path} lacks messages of {partition}"
    return logs


def row_of(payload):
    """The row of a message and its event time in microseconds; (None, None) if it cannot be used."""
    try:
        row = json.loads(payload)
        event = (datetime.datetime.fromisoformat(row["at"]) - EPOCH) // datetime.timedelta(microseconds=1)
    except (ValueError, TypeError, KeyError):
        return None, None
    return row, event


def timed(log, delay):
    """Each usable row of a partition with its time and whether it was late; then the clock at the end."""
    rows, clock, last = [], None, None
    for message in log:
        arrival = message["broker_publish_time"] * MILLI
        if last is not None:
            arrival = max(arrival, last)
        if clock is not None:
            # What runs on is the silence beyond the quiet time, and never to later than that before now.
            ran_on = min(clock + (arrival - last) - QUIET, arrival - QUIET)
            clock = max(clock, ran_on)
        last = arrival
        row, event = row_of(message["payload"])
        if row is None or event > arrival + DAY:
            continue
        open_from = event if clock is None else clock - delay
        rows.append((row, event, max(event, open_from), event < open_from, message["partition"], message["index"]))
        seen = min(event, arrival)
        clock = seen if clock is None else max(clock, seen)
    return rows, clock


def stream(path, name):
    walked = [timed(log, DELAY[name]) for log in read(path).values()]
    return [row for rows, _ in walked for row in rows], max(clock for _, clock in walked)


TRAINING = f"""
WITH windowed AS (
  SELECT *, count(*) OVER w AS n, sum(value) OVER w AS total,
         count(*) FILTER (WHERE value > 990) OVER (
           PARTITION BY device ORDER BY time RANGE BETWEEN CURRENT ROW AND {BOUND} FOLLOWING) > 0 AS label
  FROM plays
  WINDOW w AS (PARTITION BY device ORDER BY time RANGE BETWEEN {2 * SECOND} PRECEDING AND CURRENT ROW)
),
-- Of rates of one time the last message counts.
rate_at AS (SELECT device, time, max_by(rate, place) AS rate FROM rates GROUP BY device, time)
SELECT p.id, p.device, p.value, p.event, p.time, p.late, p.n, p.total, r.rate, p.label, p.time + {BOUND}
FROM windowed p ASOF LEFT JOIN rate_at r ON r.device = p.device AND r.time <= p.time
WHERE p.time + {BOUND} <= ?
"""


def text(cell):
    if isinstance(cell, bool):
        return str(cell).lower()
    return "NULL" if cell is None else str(cell)


def insert(db, table, rows):
    """Puts rows into a table, in few statements."""
    for begin in range(0, len(rows), 5_000):
        some = rows[begin : begin + 5_000]
        marks = "(" + ", ".join("?" * len(some[0])) + ")"
        db.execute(f"INSERT INTO {table} VALUES " + ", ".join([marks] * len(some)), [cell for row in some for cell in row])


def main():
    (plays, plays_end), (rates, rates_end) = (stream(path, name) for path, name in zip(sys.argv[1:], DELAY))
    db = duckdb.connect()
    db.execute("CREATE TABLE plays (id BIGINT, device BIGINT, value BIGINT, event BIGINT, time BIGINT, late BOOLEAN)")
    db.execute("CREATE TABLE rates (device BIGINT, rate BIGINT, time BIGINT, place BIGINT)")
    insert(db, "plays", [(row["id"], row["device"], row["value"], event, time, late) for row, event, time, late, _, _ in plays])
    insert(db, "rates", [(row["device"], row["rate"], time, index) for row, _, time, _, _, index in rates])
    rows = db.execute(TRAINING, [max(plays_end, rates_end)]).fetchall()
    print("\n".join(sorted("|".join(map(text, row)) for row in rows)))


main()
