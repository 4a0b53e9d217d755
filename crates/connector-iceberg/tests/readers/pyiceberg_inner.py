"""Tables whose fields within structs, lists and maps have evolved, with files without field ids, and what PyIceberg reads.

`write` makes them, `read` prints how many rows of made.mapped PyIceberg reads, once they are those that are expected."""

import datetime as dt
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import LongType

folder, step = sys.argv[1], sys.argv[2]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")

if step == "write":
    os.makedirs(f"{folder}/added", exist_ok=True)
    catalog.create_namespace_if_not_exists("made")

    # Structs of files without ids: a field renamed, and two that have taken each other's names.
    inner = pa.struct([("a", pa.int64()), ("b", pa.int64())])
    rows = pa.table({
        "n": pa.array([1, 2], pa.int64()),
        "s": pa.array([{"a": 10, "b": 100}, {"a": 20, "b": 200}], inner),
        "t": pa.array([{"a": 10, "b": 100}, None], inner),
    })
    path = f"{folder}/added/mapped.parquet"
    pq.write_table(rows, path)
    table = catalog.create_table("made.mapped", schema=rows.schema)
    table.add_files([f"file://{path}"])
    table.append(rows.slice(0, 1))
    with table.update_schema() as update:
        update.rename_column("s.a", "a2")
        update.rename_column("t.a", "c")
    with table.update_schema() as update:
        update.rename_column("t.b", "a")
    with table.update_schema() as update:
        update.rename_column("t.c", "b")

    # Lists and maps, of files with ids and without: elements that were widened, renamed, dropped and added again.
    times = [dt.datetime(2020, 1, 1, 1, 2, 3, 4)]
    rows = pa.table({
        "n": pa.array([1, 2], pa.int64()),
        "l": pa.array([[1, 2], None], pa.list_(pa.int32())),
        "ls": pa.array([[{"a": 1, "b": 2}], []], pa.list_(inner)),
        "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int32())),
        "z": pa.array([times, None], pa.list_(pa.timestamp("us", "UTC"))),
        "y": pa.array([[b"\xff"], [None]], pa.list_(pa.binary())),
    })
    path = f"{folder}/added/lists.parquet"
    pq.write_table(rows, path)
    table = catalog.create_table("made.lists", schema=rows.schema)
    table.add_files([f"file://{path}"])
    table.append(rows)
    with table.update_schema() as update:
        update.update_column("l.element", LongType())
        update.update_column("m.value", LongType())
        update.delete_column("ls.element.b")
        update.rename_column("ls.element.a", "z")
    with table.update_schema() as update:
        update.add_column(("ls", "element", "b"), LongType())

rows = catalog.load_table("made.mapped").scan().to_arrow().to_pylist()
rows.sort(key=lambda row: (row["n"], row["t"]["b"] if row["t"] else 0))
# A name that has gone to another field is that field's in files without ids, too: this is what the table says.
assert rows == [
    {"n": 1, "s": {"a2": 10, "b": 100}, "t": {"b": 10, "a": 100}},
    {"n": 1, "s": {"a2": 10, "b": 100}, "t": {"b": 100, "a": 10}},
    {"n": 2, "s": {"a2": 20, "b": 200}, "t": None},
], rows
print(f"{len(rows)} rows")
