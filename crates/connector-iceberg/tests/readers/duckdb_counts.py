"""Counts the rows of a table with DuckDB, and those with a value in a column that partitions may be of."""

import importlib.util
import pathlib
import sys

import duckdb

connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
package = importlib.util.find_spec("duckdb_ext").submodule_search_locations[0]
for extension in ["avro", "iceberg"]:
    [path] = pathlib.Path(package).rglob(f"{extension}.duckdb_extension")
    connection.load_extension(str(path))
query = 'SELECT count(*), count("text"), min("at"), max("date") FROM iceberg_scan(?)'
print(connection.execute(query, [sys.argv[1]]).fetchone()[0])
