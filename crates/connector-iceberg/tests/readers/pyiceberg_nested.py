"""A table with a struct whose fields were renamed, dropped and added again, and what PyIceberg reads of it."""

import sys

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType, StructType

folder, step = sys.argv[1], sys.argv[2]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")


def append(table, rows):
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))


if step == "write":
    inner = StructType(NestedField(6, "x", StringType(), required=False))
    fields = [
        NestedField(3, "a", LongType(), required=False),
        NestedField(4, "b", LongType(), required=False),
        NestedField(5, "in", inner, required=False),
    ]
    schema = Schema(
        NestedField(1, "n", LongType(), required=False),
        NestedField(2, "s", StructType(*fields), required=False),
    )
    catalog.create_namespace_if_not_exists("made")
    table = catalog.create_table("made.nested", schema, properties={"format-version": "2"})
    append(table, [
        {"n": 1, "s": {"a": 10, "b": 1, "in": {"x": "x"}}},
        {"n": 2, "s": {"a": 20, "b": 2, "in": {"x": "y"}}},
    ])
    with table.update_schema() as update:
        update.rename_column("s.a", "a2")
        update.rename_column("s.in.x", "y")
        update.delete_column("s.b")
    with table.update_schema() as update:
        # Another field of an old name, and of another type.
        update.add_column(("s", "b"), StringType())
        update.move_before("s.b", "s.in")
    append(table, [{"n": 3, "s": {"a2": 30, "b": "c", "in": {"y": "z"}}}, {"n": 4, "s": None}])

rows = catalog.load_table("made.nested").scan().to_arrow().sort_by("n").to_pylist()
assert rows == [
    {"n": 1, "s": {"a2": 10, "b": None, "in": {"y": "x"}}},
    {"n": 2, "s": {"a2": 20, "b": None, "in": {"y": "y"}}},
    {"n": 3, "s": {"a2": 30, "b": "c", "in": {"y": "z"}}},
    {"n": 4, "s": None},
], rows
print(f"{len(rows)} rows")
