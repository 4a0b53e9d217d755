"""Compares what runs of examples/flights wrote from archives that were stopped at different positions.

    same.py EXAMPLE RUNS.json ACTIONS.jsonl

The training tables and the decision logs must be the same rows, floats by their
bits; in a log all but `published`, which says whether the row lies after W. The
actions on the topic under a run's epoch must be the rows of its log with an
action and a time after its W, each once. Prints a line for each run that holds.
"""

import json
import sys
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

TRAINING, LOG = "lake.flights_training", "default.delay_watch__log"


def sorted_table(table, key):
    """A table in the order of a key, with floats as their bits."""
    table = table.sort_by(key).combine_chunks()
    for at, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            column = table[field.name].combine_chunks()
            # What lies under an absent value is no part of the table.
            bits = column.fill_null(0.0).to_numpy().view(np.int64)
            table = table.set_column(at, field.name, pa.array(bits, mask=np.asarray(column.is_null())))
    return table


def same(name, what, reference, table):
    if reference.schema.names != table.schema.names or reference.num_rows != table.num_rows:
        raise SystemExit(f"{name}: {what} has {table.num_rows} rows, expected {reference.num_rows} with the same columns")
    for column in reference.schema.names:
        if not reference[column].equals(table[column]):
            raise SystemExit(f"{name}: {what} differs in {column}")


def after(text):
    """W as microseconds since 1970; None when actions begin with the first row."""
    if text == "before all rows":
        return None
    return int(np.datetime64(datetime.fromisoformat(text), "us").astype(np.int64))


def check_actions(run, log, actions):
    """Returns how many actions lie on the topic under the run's epoch."""
    start = after(run["start"])
    times = log["time"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    acted = ~np.asarray(log["acted"].combine_chunks().is_null())
    wanted = acted if start is None else acted & (times > start)
    published = log["published"].to_numpy()
    if not np.array_equal(published, wanted):
        raise SystemExit(f"{run['name']}: {int((published != wanted).sum())} rows say wrongly whether they are published")
    columns = ("decision_id", "acted", "action", "subject")
    expected = sorted(zip(*(log.filter(pa.array(wanted))[column].to_pylist() for column in columns)), key=str)
    found = sorted(((one["decision_id"], one["rule"], one["action"], one.get("subject")) for one in actions), key=str)
    if found != expected:
        raise SystemExit(f"{run['name']}: {len(found)} actions on the topic are not the {len(expected)} of the log")
    return len(found)


def main():
    example, runs, actions = sys.argv[1:]
    sys.path.insert(0, example)
    import oracle

    by_epoch = defaultdict(list)
    for line in Path(actions).read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        by_epoch[message["epoch"]].append(message["payload"])
    reference, starts = None, set()
    runs = json.loads(Path(runs).read_text(encoding="utf-8"))
    for run in runs:
        training = sorted_table(oracle.read_iceberg(run["warehouse"], TRAINING), "flight_id")
        log = sorted_table(oracle.read_iceberg(run["warehouse"], LOG), "decision_id")
        some = check_actions(run, log, by_epoch.pop(run["epoch"], []))
        starts.add(run["start"])
        log = log.drop_columns(["published"])
        reference = reference or (training, log)
        same(run["name"], "the training table", reference[0], training)
        same(run["name"], "the log", reference[1], log)
        print(f"{run['name']:12} {training.num_rows:,} rows, {log.num_rows:,} decisions, {some:,} actions after "
              f"{run['start']}: the same", flush=True)
    if by_epoch:
        raise SystemExit(f"epochs {sorted(by_epoch)} on the topic belong to no run")
    if len(starts) < len(runs) // 2:
        raise SystemExit(f"only {len(starts)} different starts in {len(runs)} runs: {sorted(starts)}")


if __name__ == "__main__":
    main()
