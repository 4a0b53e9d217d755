"""Makes tables over data files that lack columns: files without field ids, and a partition column that is not stored."""

import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import IntegerType, LongType, NestedField, StringType

folder = sys.argv[1]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
catalog.create_namespace("made")

# Files without ids, by the name mapping: one was written before a column was renamed, and its name given to another.
schema = Schema(NestedField(1, "n", LongType()), NestedField(2, "name", StringType()))
table = catalog.create_table("made.added", schema)
pq.write_table(pa.table({"n": [1, 2], "name": ["a", "b"]}), f"{folder}/first.parquet")
table.add_files([f"file://{folder}/first.parquet"])
with table.update_schema() as update:
    update.rename_column("name", "renamed")
with table.update_schema() as update:
    update.add_column("later", IntegerType())
pq.write_table(pa.table({"later": pa.array([7], pa.int32()), "n": [3], "renamed": ["c"]}), f"{folder}/second.parquet")
table.add_files([f"file://{folder}/second.parquet"])

# A column that stands in the partition alone.
schema = Schema(NestedField(1, "n", LongType()), NestedField(2, "city", StringType()), NestedField(3, "day", IntegerType()))
spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "city"), PartitionField(3, 1001, IdentityTransform(), "day"))
table = catalog.create_table("made.parted", schema, partition_spec=spec)
rows = pa.table({"n": [1, 2, 3], "city": ["Oslo", "Oslo", None], "day": pa.array([5, 5, 6], pa.int32())}, schema=table.schema().as_arrow())
table.append(rows)


def rewrite(path, rows, size):
    """Writes a file of a given size, which is more than it needs."""
    pad = 0
    while True:
        with pq.ParquetWriter(path, rows.schema, store_schema=False) as writer:
            writer.write_table(rows)
            writer.add_key_value_metadata({"pad": "x" * pad})
        missing = size - os.path.getsize(path)
        if missing == 0:
            return
        pad += missing


for task in table.scan().plan_files():
    path = task.file.file_path.removeprefix("file://")
    stored = pq.ParquetFile(path).read().drop_columns(["city", "day"])
    rewrite(path, stored, os.path.getsize(path))
