"""Judges a run of examples/flights on Pulsar by its topics as Pulsar's own Java client reads them, and by a local run.

    on_pulsar.py cut EXAMPLE HISTORY-UNTIL LIVE-UNTIL    leaves of the example's data what lies before these times
    on_pulsar.py judge EXAMPLE DUMPS                     DUMPS: a folder with a file of JSON lines for each topic

`judge` makes the streams of the dumps, computes with DuckDB what the decisions of them are, and compares the logs, the
training tables and the actions. It prints what it has compared, and last where the inputs end.
"""

import json
import shutil
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

TRAINING, LOG = "lake.flights_training", "default.delay_watch__log"
# A score that is this near to the bound of a rule may lie on either side of it.
NEAR = 1e-6


def cut(example, history_until, live_until):
    """Rewrites the data of the copied example."""
    import oracle

    for name, time in oracle.TIMES.items():
        folder = example / "data" / name
        whole = duckdb.sql(f"FROM read_parquet('{folder}/*.parquet')").to_arrow_table()
        for half, begin, end in (("history", "1970-01-01", history_until), ("live", history_until, live_until)):
            order = "origin" if name == "weather" else "flight_id"
            duckdb.sql(
                f"COPY (FROM whole WHERE {time} >= '{begin}' AND {time} < '{end}' ORDER BY {time}, {order}) "
                f"TO '{folder}/{half}.parquet' (FORMAT parquet)"
            )


def read_dump(db, path):
    """The messages of a topic as the table `dump`, in the sequence of its log."""
    columns = {
        "partition": "BIGINT", "ledger": "BIGINT", "entry": "BIGINT", "batch_index": "BIGINT", "index": "BIGINT",
        "broker_publish_time": "BIGINT", "key": "VARCHAR", "payload": "VARCHAR",
    }
    db.execute(
        f"CREATE OR REPLACE TABLE dump AS SELECT * FROM read_json('{path}', format = 'newline_delimited', columns = {columns})"
    )
    out_of_order = db.execute("""
        SELECT count(*) FROM (
          SELECT index, row_number() OVER (PARTITION BY partition ORDER BY ledger, entry, batch_index) - 1 AS place,
                 broker_publish_time < lag(broker_publish_time) OVER (
                   PARTITION BY partition ORDER BY ledger, entry, batch_index) AS is_earlier
          FROM dump)
        WHERE index <> place OR is_earlier""").fetchone()[0]
    if out_of_order:
        raise SystemExit(f"{path}: {out_of_order} messages lack one before them, or were stamped before it")


def make_stream(db, example, dumps, dumped, name, time):
    """Writes the rows of a stream as its topic has them, under the time that the rule gives; returns the clock at its end."""
    read_dump(db, dumps / f"{name}.jsonl")
    published = f"read_parquet('{example}/data/{name}/*.parquet')"
    types = dict(db.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM {published})").fetchall())
    shape = json.dumps({column: "VARCHAR" for column in types})
    cells = ", ".join(f'row."{column}"::{kind} AS "{column}"' for column, kind in types.items())
    db.execute(
        f"CREATE OR REPLACE TABLE arrived AS SELECT partition, index, make_timestamp(broker_publish_time * 1000) AS arrival, "
        f"{cells} FROM (SELECT *, json_transform(payload, '{shape}') AS row FROM dump)"
    )
    # QUIET NEVER and no delay: the clock is the greatest time so far that is not ahead of its arrival, and a row that lies
    # before it is late.
    db.execute(f"""
        CREATE OR REPLACE TABLE timed AS
        SELECT *, coalesce({time} < clock, false) AS late, greatest({time}, clock) AS row_time
        FROM (SELECT *, max(least({time}, arrival)) OVER (
                PARTITION BY partition ORDER BY index ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS clock
              FROM arrived)""")
    late, ahead, rows = db.execute(f"SELECT sum(late::INT), sum(({time} > arrival)::INT), count(*) FROM timed").fetchone()
    if late or ahead:
        raise SystemExit(f"{name}: {late} rows are late and {ahead} ahead of their arrival, expected none of a file in order")
    columns = ", ".join(f'"{column}"' for column in types)
    other = db.execute(
        f"SELECT count(*) FROM ((SELECT {columns} FROM timed EXCEPT ALL SELECT {columns} FROM {published}) UNION ALL "
        f"(SELECT {columns} FROM {published} EXCEPT ALL SELECT {columns} FROM timed))"
    ).fetchone()[0]
    if other:
        raise SystemExit(f"{name}: {other} rows are on one side only, of the topic and of the files that were published")
    (dumped / name).mkdir(parents=True)
    db.execute(f"COPY (SELECT {columns} FROM timed ORDER BY partition, index) TO '{dumped}/{name}/all.parquet' (FORMAT parquet)")
    print(f"{name}: {rows:,} messages in order, none late")
    return db.execute(f"SELECT max(least({time}, arrival)) FROM timed").fetchone()[0]


def expected_decisions(example, dumped, end):
    """What the decision says of each flight, in the sequence of time and of the log: a row of the log, and its score."""
    import evaluate
    import oracle

    features = pa.concat_tables(
        table for _, table in oracle.expected(dumped, "SELECT * FROM features", example / "pipelines", until=end)
    )
    inputs = evaluate.features(features, evaluate.input_names(example / "pipelines"))
    scores = evaluate.score((example / "models/delay.onnx").read_bytes(), inputs)
    features = features.append_column("expected_score", pa.array(scores, pa.float32()))
    ordered = duckdb.sql(
        f"SELECT f.* FROM features f JOIN (SELECT flight_id, file_row_number AS place FROM "
        f"read_parquet('{dumped}/departures/all.parquet', file_row_number = true)) p USING (flight_id) "
        f"ORDER BY scheduled_at, place"
    ).to_arrow_table()
    names = ("flight_id", "scheduled_at", "tailnum", "aircraft_max_delay_1d", "origin_late_1h", "expected_score")
    last_act = {}
    for flight, at, tailnum, delay, late, score in zip(*(ordered[name].to_pylist() for name in names)):
        matched = [
            rule
            for rule, matches in (
                ("late_aircraft", delay is not None and delay > 180),
                ("likely_late", score > 0.7),
                ("congestion", late >= 20),
            )
            if matches
        ]
        first = next((rule for rule in matched if rule != "congestion"), None)
        rests = first == "late_aircraft" and tailnum in last_act and at < last_act[tailnum] + timedelta(hours=6)
        if first == "late_aircraft" and not rests:
            last_act[tailnum] = at
        yield flight, at, tailnum, ",".join(matched), None if rests else first, first if rests else None, score


def compare_decisions(example, dumped, end, log):
    """Compares the log with what follows from the topics; returns how many rows there are, and how many near a bound."""
    names = ("flight_id", "time", "subject", "matched", "acted", "suppressed", "score")
    found = {row[0]: row for row in zip(*(log[name].to_pylist() for name in names))}
    if len(found) != log.num_rows:
        raise SystemExit(f"the log has {log.num_rows - len(found)} flights twice")
    near, kinds = 0, Counter()
    for expected in expected_decisions(example, dumped, end):
        row = found.pop(expected[0], None)
        if row is None:
            raise SystemExit(f"the log lacks {expected}")
        kinds.update((f"{expected[4]} acts", f"{expected[5]} rests", *expected[3].split(",")))
        row = (row[0], row[1].replace(tzinfo=None), *row[2:])
        if abs(row[-1] - expected[-1]) > NEAR:
            raise SystemExit(f"the log has the score of {row}, expected {expected}")
        if abs(expected[-1] - 0.7) <= NEAR:
            near += 1
        elif row[:-1] != expected[:-1]:
            raise SystemExit(f"the log has {row}, expected {expected}")
    if found:
        raise SystemExit(f"the log has {len(found)} rows too many, such as {next(iter(found.values()))}")
    for kind in ("late_aircraft acts", "late_aircraft rests", "likely_late acts", "congestion"):
        if not kinds[kind]:
            raise SystemExit(f"no row shows this: {kind}")
    return log.num_rows, near


def compare_actions(db, dumps, log):
    """Compares the topic of actions with the log, each once; returns how many there are."""
    read_dump(db, dumps / "actions.jsonl")
    found = Counter()
    for key, payload in db.execute("SELECT key, payload FROM dump").fetchall():
        action = json.loads(payload)
        if key != action.get("subject"):
            raise SystemExit(f"the key of {action} is {key}")
        at = datetime.fromisoformat(action["time"]).replace(tzinfo=None)
        found[action["decision_id"], action["rule"], action["action"], key, at] += 1
    names = ("decision_id", "acted", "action", "subject", "time", "published")
    rows = zip(*(log[name].to_pylist() for name in names))
    expected = Counter((*row[:4], row[4].replace(tzinfo=None)) for row in rows if row[5])
    if found != expected:
        counts = sum(found.values()), sum(expected.values())
        raise SystemExit("%d actions on the topic are not the %d of the log that were put there" % counts)
    return sum(found.values())


def judge(example, dumps):
    import oracle
    import same

    db, dumped = duckdb.connect(), dumps / "streams"
    shutil.rmtree(dumped, ignore_errors=True)
    ends = [make_stream(db, example, dumps, dumped, name, time) for name, time in oracle.TIMES.items()]
    tables = {}
    for warehouse in ("warehouse", "warehouse-pulsar"):
        tables[warehouse] = {name: oracle.read_iceberg(example / warehouse, name) for name in (TRAINING, LOG)}
    local, remote = tables["warehouse"], tables["warehouse-pulsar"]
    rows, near = compare_decisions(example, dumped, max(ends), remote[LOG])
    print(f"{rows:,} decisions follow from the topics, {near} of them with a score at the bound of a rule")
    actions = compare_actions(db, dumps, remote[LOG])
    print(f"{actions:,} actions are on the topic, each once")
    for name in (TRAINING, LOG):
        # A decision's id tells where its message lies.
        names = [column for column in remote[name].column_names if column != "decision_id"]
        one, other = (same.sorted_table(side[name].select(names), "flight_id") for side in (local, remote))
        same.same("Pulsar", name, one, other)
        print(f"{name}: {other.num_rows:,} rows, those of the local run to the bit")
    if not actions or not remote[TRAINING].num_rows or not np.any(np.asarray(remote[LOG]["published"]) == 0):
        raise SystemExit("there is nothing to compare")
    print(f"{max(ends):%Y-%m-%dT%H:%M:%SZ}")


def main():
    command, example, *arguments = sys.argv[1:]
    example = Path(example)
    sys.path.insert(0, str(example))
    if command == "cut":
        cut(example, *arguments)
    else:
        judge(example, Path(arguments[0]))


if __name__ == "__main__":
    main()
