"""Reads a table with DuckDB: rows and types, and a filter on time."""

import datetime as dt
import importlib.util
import pathlib
import sys

import duckdb

metadata = sys.argv[1]
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
package = importlib.util.find_spec("duckdb_ext").submodule_search_locations[0]
for extension in ["avro", "iceberg"]:
    [path] = pathlib.Path(package).rglob(f"{extension}.duckdb_extension")
    connection.load_extension(str(path))

rows = connection.execute("SELECT * FROM iceberg_scan(?) ORDER BY n", [metadata]).fetchall()
types = [str(column[1]) for column in connection.description]
assert types == ["BIGINT", "INTEGER", "DOUBLE", "FLOAT", "BOOLEAN", "VARCHAR", "BLOB", "DATE", "TIMESTAMP"], types
START = dt.datetime(2013, 1, 1)
for n, row in enumerate(rows):
    if n % 7 == 6:
        assert row == (n,) + (None,) * 8, row
    else:
        at = START + n * dt.timedelta(days=1) / 10 + dt.timedelta(microseconds=1)
        date = dt.date(2013, 1, 1) + dt.timedelta(days=n)
        assert row == (n, n - 20, n / 8, n / 8, n % 2 == 0, f"ß{n:02}", bytes([n, 0]), date, at), row
some = connection.execute(
    "SELECT count(*) FROM iceberg_scan(?) "
    """WHERE "at" >= TIMESTAMP '2013-01-02' AND "at" < TIMESTAMP '2013-01-04'""",
    [metadata],
).fetchone()[0]
print(f"{len(rows)} rows, {some} at 2013-01-02 or later and before 2013-01-04")
