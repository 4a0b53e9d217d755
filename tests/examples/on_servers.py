"""Compares every table that a project has in a folder with the one of the same name in a REST catalog.

    on_servers.py WAREHOUSE CATALOG S3-ENDPOINT ACCESS-KEY SECRET-KEY

The table in the catalog is read by PyIceberg, and its data files by DuckDB; both must have the rows of the folder's, each as
often. Prints a line for each table.
"""

import pathlib
import sys
import tempfile

import duckdb
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog

warehouse, uri, endpoint, access_key, secret_key = sys.argv[1:]
folder = pathlib.Path(warehouse).resolve()
local = SqlCatalog("riverrun", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=f"file://{folder}")
remote = RestCatalog(
    "rest",
    **{
        "uri": uri,
        "s3.endpoint": endpoint,
        "s3.access-key-id": access_key,
        "s3.secret-access-key": secret_key,
        "s3.region": "us-east-1",
        "s3.path-style-access": "true",
    },
)


def tables(catalog):
    return sorted(name for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace))


def differences(connection, columns, one, other):
    """How many rows one has that the other has not, or not as often."""
    query = f"SELECT count(*) FROM (SELECT {columns} FROM {one} EXCEPT ALL SELECT {columns} FROM {other})"
    return connection.execute(query).fetchone()[0]


assert tables(local) == tables(remote), (tables(local), tables(remote))
for name in tables(local):
    ours, theirs = local.load_table(name), remote.load_table(name)
    in_folder, in_catalog = ours.scan().to_arrow(), theirs.scan().to_arrow()
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    copies = pathlib.Path(tempfile.mkdtemp())
    for number, task in enumerate(theirs.scan().plan_files()):
        with theirs.io.new_input(task.file.file_path).open() as source:
            (copies / f"{number}.parquet").write_bytes(source.read())
    fields = [field.name for field in ours.schema().fields]
    assert fields == [field.name for field in theirs.schema().fields], name
    columns = ", ".join(f'"{field}"' for field in fields)
    others = [("in_folder", "in_catalog"), ("in_catalog", "in_folder")]
    if any(copies.iterdir()):
        connection.execute(f"CREATE VIEW in_files AS SELECT {columns} FROM read_parquet('{copies}/*.parquet')")
        others += [("in_folder", "in_files"), ("in_files", "in_folder")]
    for one, other in others:
        found = differences(connection, columns, one, other)
        assert found == 0, f"{'.'.join(name)}: {found} rows of {one} are not {other}"
    print(f"{'.'.join(name)}: {in_folder.num_rows} rows, the same")
