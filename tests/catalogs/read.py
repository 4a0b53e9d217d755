"""Reads a table of a REST catalog with PyIceberg and with DuckDB, and prints its rows as sorted CSV; checks that all files
that any snapshot names are there.

read.py URI TABLE ORDER [S3_ENDPOINT ACCESS_KEY SECRET_KEY]
"""

import csv
import pathlib
import sys
import tempfile

import duckdb
from pyiceberg.catalog.rest import RestCatalog

uri, name, order, *s3 = sys.argv[1:]
properties = {"uri": uri}
if s3:
    properties |= {
        "s3.endpoint": s3[0],
        "s3.access-key-id": s3[1],
        "s3.secret-access-key": s3[2],
        "s3.region": "us-east-1",
        "s3.path-style-access": "true",
    }
catalog = RestCatalog("rest", **properties)
table = catalog.load_table(name)

for snapshot in table.snapshots():
    for manifest in snapshot.manifests(table.io):
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            assert table.io.new_input(entry.data_file.file_path).exists(), entry.data_file.file_path

rows = table.scan().to_arrow()
files = [task.file.file_path for task in table.scan().plan_files()]
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
folder = pathlib.Path(tempfile.mkdtemp())
for number, path in enumerate(files):
    with table.io.new_input(path).open() as source:
        (folder / f"{number}.parquet").write_bytes(source.read())
columns = ", ".join(f'"{field.name}"' for field in table.schema().fields)
by_duckdb = connection.execute(f"SELECT {columns} FROM read_parquet(?) ORDER BY {order}", [str(folder / "*.parquet")]).fetchall()
by_pyiceberg = connection.execute(f"SELECT {columns} FROM rows ORDER BY {order}").fetchall()
assert by_duckdb == by_pyiceberg, (len(by_duckdb), len(by_pyiceberg))
csv.writer(sys.stdout, lineterminator="\n").writerows(by_pyiceberg)
