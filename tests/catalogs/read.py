"""Reads a table of a REST catalog, or of one in a SQLite file, with PyIceberg, and its data files with DuckDB, and prints
its rows as sorted CSV; checks that all files that any snapshot names are there.
"""

import argparse
import csv
import pathlib
import sys
import tempfile

import duckdb
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog

parser = argparse.ArgumentParser()
parser.add_argument("uri")
parser.add_argument("table")
parser.add_argument("--order", default="ALL")
parser.add_argument("--s3", nargs=3, metavar=("ENDPOINT", "ACCESS_KEY", "SECRET_KEY"))
parser.add_argument("--gcs", metavar="ENDPOINT")
arguments = parser.parse_args()

properties = {"uri": arguments.uri}
if arguments.s3:
    endpoint, access_key, secret_key = arguments.s3
    properties |= {
        "s3.endpoint": endpoint,
        "s3.access-key-id": access_key,
        "s3.secret-access-key": secret_key,
        "s3.region": "us-east-1",
        "s3.path-style-access": "true",
    }
if arguments.gcs:
    # The server looks at no token.
    token = {"gcs.oauth2.token": "none", "gcs.oauth2.token-expires-at": "4102444800000"}
    properties |= {"gcs.service.host": arguments.gcs, **token}
is_file = arguments.uri.startswith("sqlite:")
catalog = SqlCatalog("riverrun", **properties) if is_file else RestCatalog("rest", **properties)
table = catalog.load_table(arguments.table)

for snapshot in table.snapshots():
    for manifest in snapshot.manifests(table.io):
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            assert table.io.new_input(entry.data_file.file_path).exists(), entry.data_file.file_path

rows = table.scan().to_arrow()
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
folder = pathlib.Path(tempfile.mkdtemp())
for number, task in enumerate(table.scan().plan_files()):
    with table.io.new_input(task.file.file_path).open() as source:
        (folder / f"{number}.parquet").write_bytes(source.read())
columns = ", ".join(f'"{field.name}"' for field in table.schema().fields)
connection.execute(f"CREATE TABLE files AS SELECT {columns} FROM read_parquet('{folder}/*.parquet')")


def difference(one, other):
    """How many rows one has that the other has not, or not as often."""
    query = f"SELECT count(*) FROM (SELECT {columns} FROM {one} EXCEPT ALL SELECT {columns} FROM {other})"
    return connection.execute(query).fetchone()[0]


def assert_same(one, other):
    found = difference(one, other), difference(other, one)
    assert found == (0, 0), (one, other, found)


assert_same("rows", "files")
sorted_rows = connection.execute(f"SELECT {columns} FROM rows ORDER BY {arguments.order}").fetchall()
csv.writer(sys.stdout, lineterminator="\n").writerows(sorted_rows)
