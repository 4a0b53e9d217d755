"""Makes a table whose columns change after its first rows."""

import datetime as dt
import sys

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, IntegerType, LongType, NestedField, StringType, TimestamptzType

folder = sys.argv[1]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
catalog.create_namespace("made")


def instant(second):
    return dt.datetime(2013, 1, 1, 0, 0, second, tzinfo=dt.timezone(dt.timedelta(hours=-5))).astimezone(dt.timezone.utc)


schema = Schema(
    NestedField(1, "n", IntegerType(), required=False),
    NestedField(2, "name", StringType(), required=False),
    NestedField(3, "instant", TimestamptzType(), required=False),
)
table = catalog.create_table("made.by_python", schema)
first = {"n": pa.array([1, 2], pa.int32()), "name": ["a", "b"], "instant": [instant(0), instant(1)]}
table.append(pa.table(first, schema=table.schema().as_arrow()))
with table.update_schema() as update:
    update.update_column("n", LongType())
    update.rename_column("name", "renamed")
    update.add_column("late", DoubleType())
second = {"n": [3_000_000_000], "renamed": ["c"], "instant": [instant(2)], "late": [0.5]}
table.append(pa.table(second, schema=table.schema().as_arrow()))

print("written")
