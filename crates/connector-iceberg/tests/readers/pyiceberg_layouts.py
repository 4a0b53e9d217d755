"""Makes a table that is partitioned in every way, or reads tables of one and checks partitions, order and rows."""

import sys
from collections import Counter

import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    TruncateTransform,
    VoidTransform,
    YearTransform,
)
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

what, folder = sys.argv[1:3]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")

TYPES = {
    "long": LongType(),
    "int": IntegerType(),
    "double": DoubleType(),
    "float": FloatType(),
    "flag": BooleanType(),
    "text": StringType(),
    "at": TimestampType(),
    "bytes": BinaryType(),
    "date": DateType(),
}


def make():
    """A table of another engine: with a column of instants that we write as NULL, and a field that is gone."""
    fields = [NestedField(at + 1, name, of, required=False) for at, (name, of) in enumerate(TYPES.items())]
    fields.append(NestedField(20, "instant", TimestamptzType(), required=False))
    ids = {field.name: field.field_id for field in fields}
    of = [
        ("text", TruncateTransform(2)),
        ("at", HourTransform()),
        ("long", BucketTransform(3)),
        ("date", VoidTransform()),
        ("int", IdentityTransform()),
        ("instant", DayTransform()),
    ]
    spec = [PartitionField(ids[name], 1000 + at, transform, f"p{at}") for at, (name, transform) in enumerate(of)]
    catalog.create_namespace_if_not_exists("made")
    catalog.create_table("made.theirs", Schema(*fields), partition_spec=PartitionSpec(*spec))
    print("made")


def plain(value):
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else value


def stored(column, values):
    """Values as Iceberg's transforms take them."""
    kind = TYPES.get(column)
    if isinstance(kind, TimestampType):
        return [None if value is None else value for value in values.cast("int64").to_pylist()]
    if isinstance(kind, DateType):
        return values.cast("int32").to_pylist()
    return values.to_pylist()


def check(name):
    table = catalog.load_table(name)
    schema, spec = table.schema(), table.spec()
    rows, files = Counter(), 0
    for task in table.scan().plan_files():
        file, files = task.file, files + 1
        held = pq.read_table(file.file_path.removeprefix("file://"))
        assert held.num_rows == file.record_count
        for at, field in enumerate(spec.fields):
            column = schema.find_column_name(field.source_id)
            kind = schema.find_field(field.source_id).field_type
            transform = field.transform.transform(kind)
            for value in set(stored(column, held[column])) if column in TYPES else {None}:
                expected = None if value is None else transform(value)
                found = file.partition[at]
                same = plain(found) == plain(expected) or (found != found and expected != expected)
                assert same, (name, field, value, found, expected, file.file_path)
        for row in held.select(list(TYPES)).to_pylist():
            rows[tuple(str(plain(row[column])) for column in TYPES)] += 1
        order = [schema.find_column_name(field.source_id) for field in table.sort_order().fields]
        if order:
            assert file.sort_order_id == table.sort_order().order_id, (name, file.file_path)
            keys = [tuple((value is None, value) for value in row) for row in zip(*(held[c].to_pylist() for c in order))]
            assert all(before[0] <= after[0] for before, after in zip(keys, keys[1:])), (name, file.file_path)
    scanned = Counter(
        tuple(str(plain(row[column])) for column in TYPES) for row in table.scan().to_arrow().select(list(TYPES)).to_pylist()
    )
    assert rows == scanned, name
    return name, sum(rows.values()), files


if what == "make":
    make()
else:
    for table in sys.argv[3:]:
        print("{}: {} rows".format(*check(table)[:2]))
