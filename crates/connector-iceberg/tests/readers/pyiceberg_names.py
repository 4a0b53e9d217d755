"""Makes tables whose partition fields have names that Avro does not take, or whose partition column becomes wider; reads them."""

import sys

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import IntegerType, LongType, NestedField

folder, step, name = sys.argv[1], sys.argv[2], sys.argv[3]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")


def put(table, of, *values):
    for value in values:
        column = pa.array([value], of)
        table.append(pa.table({"n": pa.array([value], pa.int64()), name: column}))


if step == "make":
    catalog.create_namespace_if_not_exists("lake")
    schema = Schema(NestedField(1, "n", LongType()), NestedField(2, name, IntegerType()))
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), name))
    table = catalog.create_table("lake.t", schema, partition_spec=spec)
    put(table, pa.int32(), 1, 1, 2)
if step == "widen":
    catalog.create_namespace_if_not_exists("lake")
    schema = Schema(NestedField(1, "n", LongType()), NestedField(2, name, IntegerType()))
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "part"))
    table = catalog.create_table("lake.t", schema, partition_spec=spec)
    put(table, pa.int32(), 1, 1, 2)
    with table.update_schema() as update:
        update.update_column(name, LongType())
    put(catalog.load_table("lake.t"), pa.int64(), 1, 1, 2)
if step == "read":
    table = catalog.load_table("lake.t")
    rows = sorted(row["n"] for row in table.scan().to_arrow().to_pylist())
    # By the partitions alone, which are the values themselves.
    ones = [1] * sum(task.file.record_count for task in table.scan(row_filter=EqualTo(name, 1)).plan_files())
    print(table.spec().fields[0].name, rows, ones)
