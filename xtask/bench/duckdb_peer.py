"""DuckDB as a peer and as the judge.

    duckdb_peer.py run QUERY.sql MESSAGES PROFILES OUTPUT THREADS
    duckdb_peer.py compare LEFT RIGHT

`run` writes the query's rows to a Parquet file. `compare` prints, as JSON, how many rows of two sets of Parquet files
differ, with the first of them: integers, texts and times must be equal, floats to a relative 1e-9, scores of models to
1e-5. A float beside an
integer must be that integer: DuckDB writes the 128 bits of its sums as such.
"""

import json
import sys

import duckdb

KEYS = ["event_id", "author_id", "ts"]
FLOATS = {"DOUBLE", "FLOAT"}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def files(pattern):
    return f"read_parquet({quoted(pattern)}, hive_partitioning = false)"


def run(query, messages, profiles, output, threads):
    connection = duckdb.connect()
    connection.execute(f"SET threads = {int(threads)}")
    connection.execute("SET preserve_insertion_order = false")
    for name, pattern in [("messages", messages), ("profiles", profiles)]:
        connection.execute(f"CREATE VIEW {name} AS FROM {files(pattern)}")
    with open(query) as file:
        text = file.read()
    options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    connection.execute(f"COPY ({text}) TO {quoted(output)} ({options})")


def columns(connection, pattern):
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {files(pattern)}").fetchall()}


def same(name, kinds):
    left, right = f'l."{name}"', f'r."{name}"'
    if name == "score":
        return f"coalesce(abs({left} - {right}) <= 1e-5, {left} IS NULL AND {right} IS NULL)"
    if FLOATS >= set(kinds):
        within = f"({left} = {right} OR abs({left} - {right}) <= 1e-9 * greatest(abs({left}), abs({right})))"
        return f"coalesce({within}, {left} IS NULL AND {right} IS NULL)"
    if FLOATS & set(kinds):
        float, integer = (left, right) if kinds[0] in FLOATS else (right, left)
        exact = f"({float} = trunc({float}) AND TRY_CAST({float} AS HUGEINT) = {integer})"
        return f"coalesce({exact}, {left} IS NULL AND {right} IS NULL)"
    if kinds[0] != kinds[1] and any("TIMESTAMP" in kind for kind in kinds):
        return f"epoch_us({left}) IS NOT DISTINCT FROM epoch_us({right})"
    return f"{left} IS NOT DISTINCT FROM {right}"


def compare(left, right):
    connection = duckdb.connect()
    kinds = [columns(connection, pattern) for pattern in (left, right)]
    if set(kinds[0]) != set(kinds[1]):
        only = sorted(set(kinds[0]) ^ set(kinds[1]))
        return {"rows": [0, 0], "differ": 1, "first": [f"columns of one side alone: {', '.join(only)}"]}
    names = [name for name in kinds[0] if name not in KEYS]
    # Deliveries of one event with one time are told apart by all that they hold, which ties them in one order.
    within = ", ".join(f'"{name}" NULLS FIRST' for name in reversed(names))
    for name, pattern in [("l", left), ("r", right)]:
        number = f"row_number() OVER (PARTITION BY {', '.join(KEYS)} ORDER BY {within}) AS _number"
        connection.execute(f"CREATE TABLE {name} AS SELECT *, {number} FROM {files(pattern)}")
    rows = [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in "lr"]
    on = " AND ".join(f"l.{name} = r.{name}" for name in KEYS + ["_number"])
    joined = f"FROM l FULL JOIN r ON {on}"
    equal = " AND ".join(same(name, (kinds[0][name], kinds[1][name])) for name in names)
    wrong = f"{joined} WHERE l._number IS NULL OR r._number IS NULL OR NOT ({equal})"
    differ = connection.execute(f"SELECT count(*) {wrong}").fetchone()[0]
    first = connection.execute(f"SELECT l, r {wrong} ORDER BY coalesce(l.ts, r.ts) LIMIT 3").fetchall()
    return {"rows": rows, "differ": differ, "first": [told(*pair) for pair in first]}


def told(left, right):
    """One row that differs: its keys, and the columns that do."""
    row = left if left["event_id"] is not None else right
    keys = ", ".join(f"{name} {row[name]}" for name in KEYS)
    if row is right or right["event_id"] is None:
        return f"{keys}: only {'left' if row is left else 'right'}"
    unequal = [f"{name} {left[name]} against {right[name]}" for name in left if left[name] != right[name]]
    return f"{keys}: {', '.join(unequal)}"


if sys.argv[1] == "run":
    run(*sys.argv[2:])
else:
    json.dump(compare(*sys.argv[2:]), sys.stdout)
