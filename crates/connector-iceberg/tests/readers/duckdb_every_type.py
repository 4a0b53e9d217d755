"""Reads a data file with DuckDB, by nothing but what the file says. duckdb_every_type.py FILE"""

import sys

import duckdb
from every_type import show

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
types = dict(connection.execute("SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet(?))", [sys.argv[1]]).fetchall())
assert (types["u"], types["f16"], types["lists"]) == ("UUID", "BLOB", "UUID[][]"), types
assert (types["t"], types["tz"], types["tzs"]) == ("TIME", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE[]"), types
# Python has instants from DuckDB only with a package for time zones.
columns = "* REPLACE (tz AT TIME ZONE 'UTC' AS tz, list_transform(tzs, lambda tz: tz AT TIME ZONE 'UTC') AS tzs)"
rows = connection.execute(f"SELECT {columns} FROM read_parquet(?) ORDER BY n", [sys.argv[1]])
show([column[0] for column in rows.description], rows.fetchall())
