"""DuckDB's answers to random projects: a question per line on standard input, a verdict per line on standard output.

A question has `tables` (name and Parquet file), `views` (CREATE VIEW, in order) and `outputs`: a `select`, the
`columns` that it gives, and the Parquet `path` of the rows that are to be the same; no path where there are none.
With `once_per` (seconds by rule) the output is a decision's log, and the select says which rule acts but for that.
Rows are compared as multisets: floats to a relative 1e-9, everything else exactly.
"""

import json
import math
import sys
from decimal import Decimal

import duckdb

ROWS_SHOWN = 4


def readable(connection, source, columns):
    """A SELECT of columns that Python can hold: times are microseconds, since a datetime ends with the year 9999."""
    described = connection.execute(f"DESCRIBE {source}").fetchall()
    types = {row[0].lower(): row[1] for row in described}

    def item(name):
        quoted = '"' + name + '"'
        return f"epoch_us({quoted})" if types[name.lower()].startswith("TIMESTAMP") else quoted

    return f"SELECT {', '.join(map(item, columns))} FROM ({source})"


def plain(cell):
    return float(cell) if isinstance(cell, Decimal) else cell


def order(row):
    """An order of rows in which floats count last, so that nearly the same ones stand at the same place."""
    exact = [(cell is None, type(cell).__name__, str(cell)) for cell in row if not isinstance(cell, float)]
    floats = [(math.isnan(cell), 0.0 if math.isnan(cell) else cell) for cell in row if isinstance(cell, float)]
    places = [isinstance(cell, float) for cell in row]
    return exact, places, floats


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    return one == other and type(one) is type(other)


def rows_of(connection, select):
    return sorted((tuple(map(plain, row)) for row in connection.execute(select).fetchall()), key=order)


def differing(ours, theirs):
    """The pairs of rows that differ; where one side has more rows, those that stand there alone."""
    if len(ours) == len(theirs):
        return [(one, other) for one, other in zip(ours, theirs) if not all(map(same, one, other))]
    known, own = set(map(repr, theirs)), set(map(repr, ours))
    alone = [(row, None) for row in ours if repr(row) not in known]
    return alone + [(None, row) for row in theirs if repr(row) not in own]


def shortened(row):
    return "(" + ", ".join(repr(cell)[:60] for cell in row) + ")"


def decided(connection, output):
    """The rows of a decision's log: a rule that has acted on a subject does not act again before its time."""
    select = f"SELECT * FROM ({output['select']}) ORDER BY 1, 2"
    last, rows = {}, []
    for at, _, subject, matched, acted, nulls in connection.execute(select).fetchall():
        suppressed = None
        seconds = output["once_per"].get(acted)
        if seconds is not None:
            if at < last.get((acted, subject), -(2**63)) + seconds * 1_000_000:
                acted, suppressed = None, acted
            else:
                last[acted, subject] = at
        rows.append((subject, matched, acted, nulls, suppressed))
    return sorted(rows, key=order)


def compare(connection, output):
    """How many rows an output has, or how they differ."""
    columns = output["columns"]
    if output["once_per"] is None:
        theirs = rows_of(connection, readable(connection, output["select"], columns))
    else:
        theirs = decided(connection, output)
    ours = []
    if output["path"]:
        path = output["path"].replace("'", "''")
        ours = rows_of(connection, readable(connection, f"SELECT * FROM read_parquet('{path}')", columns))
    if len(ours) == len(theirs) and all(all(map(same, one, other)) for one, other in zip(ours, theirs)):
        return len(ours), None
    lines = [f"{output['table']}: {len(ours)} rows, expected {len(theirs)}; columns {', '.join(columns)}"]
    for one, other in differing(ours, theirs)[:ROWS_SHOWN]:
        lines += [f"  found    {shortened(one)}" if one else "  found    no row"]
        lines += [f"  expected {shortened(other)}" if other else "  expected no row"]
    lines.append(f"  {output['select']}")
    return len(ours), "\n".join(lines)


def verdict(question):
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    # A row on which a division fails is left out by a condition, which DuckDB may look at after it has divided.
    connection.execute("SET error_on_division_by_zero = false")
    for table in question["tables"]:
        path = table["path"].replace("'", "''")
        # What stands as text is cast, so that it may be of any year.
        connection.execute(
            f"CREATE TABLE {table['name']} AS SELECT * REPLACE (d::TIMESTAMP AS d) FROM read_parquet('{path}')"
        )
    for view in question["views"]:
        connection.execute(view)
    rows, wrong = 0, []
    for output in question["outputs"]:
        count, how = compare(connection, output)
        rows += count
        if how:
            wrong.append(how)
    return {"differs": "\n".join(wrong)} if wrong else {"rows": rows}


def main():
    for line in sys.stdin:
        try:
            told = verdict(json.loads(line))
        except duckdb.Error as error:
            told = {"differs": f"DuckDB fails: {error}"}
        print(json.dumps(told), flush=True)


main()
