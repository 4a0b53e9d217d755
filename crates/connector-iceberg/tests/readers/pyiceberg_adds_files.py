"""Makes tables of files that PyIceberg did not write itself: without field ids, without a partition column, with INT96."""

import datetime as dt
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, IntegerType, LongType, NestedField, StringType, TimestampType

folder = sys.argv[1]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
catalog.create_namespace("made")
os.makedirs(f"{folder}/added", exist_ok=True)


def write(name, columns, ids=None, **options):
    path = f"{folder}/added/{name}.parquet"
    rows = pa.table(columns)
    if ids:
        fields = [field.with_metadata({"PARQUET:field_id": str(id)}) for field, id in zip(rows.schema, ids)]
        rows = rows.cast(pa.schema(fields))
    pq.write_table(rows, path, **options)
    return path


def append(table, path, rows, partition=()):
    """Adds a file with the partition that it belongs to, as tools do that take over tables of Hive."""
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=f"file://{path}",
        file_format=FileFormat.PARQUET,
        partition=Record(*partition),
        record_count=rows,
        file_size_in_bytes=os.path.getsize(path),
        column_sizes={},
        value_counts={},
        null_value_counts={},
        nan_value_counts={},
        lower_bounds={},
        upper_bounds={},
        key_metadata=None,
        split_offsets=[4],
        equality_ids=None,
        sort_order_id=None,
    )
    file.spec_id = table.spec().spec_id
    with table.transaction() as transaction:
        with transaction.update_snapshot().fast_append() as snapshot:
            snapshot.append_data_file(file)


# Files without ids, before and after a column was renamed and another one came.
schema = Schema(
    NestedField(1, "n", IntegerType(), required=False),
    NestedField(2, "name", StringType(), required=False),
)
table = catalog.create_table("made.renamed", schema)
table.add_files([write("first", {"n": pa.array([1], pa.int32()), "name": ["a"]})])
with table.update_schema() as update:
    update.rename_column("name", "title")
    update.add_column("late", LongType())
table.add_files([write("second", {"title": ["b"], "late": pa.array([7], pa.int64()), "n": pa.array([2], pa.int32())})])
with table.update_schema() as update:
    update.update_column("n", LongType())
    update.add_column("other", StringType())

# Identity partitions whose columns are not stored in the files; of one the value is NULL.
schema = Schema(
    NestedField(1, "n", IntegerType(), required=False),
    NestedField(2, "day", DateType(), required=False),
    NestedField(3, "site", StringType(), required=False),
    NestedField(4, "hour", TimestampType(), required=False),
)
fields = [PartitionField(id, 1000 + id, IdentityTransform(), name) for id, name in [(2, "day"), (3, "site"), (4, "hour")]]
table = catalog.create_table("made.parts", schema, partition_spec=PartitionSpec(*fields))
hour = 1704103200000000
append(table, write("part", {"n": pa.array([1, 2], pa.int32())}, ids=[1]), 2, (19723, "a", hour))
append(table, write("null", {"n": pa.array([3], pa.int32())}, ids=[1]), 1, (19724, None, hour + 3600000000))

# INT96, for years that nanoseconds do not reach, and integers of fewer bits.
schema = Schema(NestedField(1, "n", IntegerType(), required=False), NestedField(2, "at", TimestampType(), required=False))
table = catalog.create_table("made.int96", schema)
times = pa.array([dt.datetime(1500, 1, 1, 0, 0, 0, 7), dt.datetime(2024, 1, 1), dt.datetime(3000, 1, 1)], pa.timestamp("us"))
small = pa.array([1, 2, -3], pa.int8())
append(table, write("int96", {"n": small, "at": times}, ids=[1, 2], use_deprecated_int96_timestamps=True), 3)

# INT96 within a struct and a list.
times = [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)]
columns = {
    "s": pa.array([{"at": at} for at in times], pa.struct([("at", pa.timestamp("us"))])),
    "l": pa.array([[at] for at in times], pa.list_(pa.timestamp("us"))),
}
table = catalog.create_table("made.far", schema=pa.schema([(name, column.type) for name, column in columns.items()]))
append(table, write("far", columns, use_deprecated_int96_timestamps=True), 2)

# A file without ids in a table that has lost its mapping.
schema = Schema(NestedField(1, "n", IntegerType(), required=False))
table = catalog.create_table("made.unmapped", schema)
append(table, write("unmapped", {"n": pa.array([1], pa.int32())}), 1)
with table.update_schema() as update:
    update.add_column("m", IntegerType())

print("written")
