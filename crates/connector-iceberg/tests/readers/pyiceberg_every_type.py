"""Tables with columns of every type, some within each other, which change between commits, and what PyIceberg reads of them.

The second table has the same rows and is sorted by UUIDs. pyiceberg_every_type.py WAREHOUSE write|read
"""

import datetime as dt
import decimal
import sys
import uuid

import pyarrow as pa
from every_type import show
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

folder, step = sys.argv[1], sys.argv[2]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
START = dt.datetime(2013, 1, 1)


def schema():
    """The columns as they are at first."""
    inside = StructType(
        NestedField(20, "a", IntegerType(), required=False),
        NestedField(21, "b", BinaryType(), required=False),
        NestedField(22, "gone", StringType(), required=False),
    )
    pair = StructType(
        NestedField(30, "u", UUIDType(), required=False),
        NestedField(31, "l", ListType(32, DateType(), element_required=False), required=False),
    )
    columns = [
        LongType(),
        UUIDType(),
        FixedType(5),
        FixedType(16),
        TimeType(),
        DecimalType(9, 2),
        DecimalType(30, 4),
        BooleanType(),
        FloatType(),
        DoubleType(),
        TimestampType(),
        TimestamptzType(),
        BinaryType(),
        ListType(40, StringType(), element_required=True),
        ListType(41, inside, element_required=False),
        ListType(42, ListType(43, UUIDType(), element_required=False), element_required=False),
        MapType(44, StringType(), 45, ListType(46, IntegerType(), element_required=False), value_required=False),
        MapType(47, IntegerType(), 48, pair, value_required=True),
        ListType(49, TimestamptzType(), element_required=False),
        ListType(50, DecimalType(20, 3), element_required=False),
        ListType(51, TimeType(), element_required=False),
    ]
    names = ["n", "u", "f5", "f16", "t", "d9", "d30", "flag", "real", "dbl", "at", "tz", "bin"]
    names += ["texts", "structs", "lists", "counts", "pairs", "tzs", "decs", "times"]
    return Schema(*[NestedField(at + 1, name, of, required=name == "n") for at, (name, of) in enumerate(zip(names, columns))])


def stored(of):
    """A type with bytes in place of UUIDs, of which pyarrow makes no lists."""
    match of:
        case pa.BaseExtensionType():
            return of.storage_type
        case pa.ListType() | pa.LargeListType():
            return pa.large_list(of.value_field.with_type(stored(of.value_type)))
        case pa.MapType():
            return pa.map_(stored(of.key_type), of.item_field.with_type(stored(of.item_type)))
        case pa.StructType():
            return pa.struct([field.with_type(stored(field.type)) for field in of])
    return of


def arrow(table, rows):
    """Rows as a table has them."""
    schema = table.schema().as_arrow()
    plain = pa.schema([field.with_type(stored(field.type)) for field in schema])
    return pa.Table.from_pylist(rows, schema=plain).cast(schema)


def row(n, later):
    """A row with values in every column, or in the first alone."""
    if n % 5 == 4:
        # NULL in place of these is written as such by nobody here.
        return {"n": n, "structs": [], "pairs": []}
    id = uuid.UUID(int=(n * 2**120 + n * 77 + 5) % 2**128).bytes
    at = START + n * dt.timedelta(days=400, microseconds=1)
    instant = at.replace(tzinfo=dt.timezone.utc)
    some = [id, None, bytes(15) + b"\x01"]
    inside = {"a": n, "b": bytes([n, 0, 255])} | ({"c": n / 4} if later else {"gone": "x"})
    time = dt.time(23, n, 59, n * 1000 + 1)
    return {
        "n": n,
        "u": id,
        "f5": bytes([n, 1, 2, 3, 255]),
        "f16": bytes(range(n, n + 16)),
        "t": time,
        "d9": decimal.Decimal(n * 101 - 500) / 100,
        "d30": decimal.Decimal(n) * 10**20 - decimal.Decimal("0.0001"),
        "flag": n % 2 == 0,
        "real": n / 8,
        "dbl": -n / 3,
        "at": at,
        "tz": instant,
        "bin": bytes([255] * n),
        "texts": [f"ß{n}", ""] if n % 3 else [],
        "structs": [inside, None, {}],
        "lists": [some, [], None, [id]],
        "counts": [("one", [n, None]), ("none", None), ("empty", [])] if n % 3 else [],
        "pairs": [(n, {"u": id, "l": [at.date(), None]}), (-n - 1, {"u": None, "l": None})],
        "tzs": [instant, None],
        "decs": [decimal.Decimal("12345678901234567.891"), None, decimal.Decimal(-n)],
        "times": [time, dt.time(0)],
    }


if step == "write":
    catalog.create_namespace_if_not_exists("made")
    by_uuid = SortOrder(SortField(source_id=2, transform=IdentityTransform()))
    for name, order in [("made.every", SortOrder()), ("made.sorted", by_uuid)]:
        table = catalog.create_table(name, schema(), sort_order=order, properties={"format-version": "2"})

        def append(numbers, later):
            table.append(arrow(table, [row(n, later) for n in numbers]))

        append(range(0, 3), False)
        append(range(3, 5), False)
        with table.update_schema() as update:
            update.update_column(("structs", "a"), LongType())
            update.delete_column(("structs", "gone"))
            update.add_column(("structs", "c"), DoubleType())
            update.update_column(("counts", "value", "element"), LongType())
            update.rename_column("f5", "five")
            update.rename_column(("pairs", "l"), "days")
        table.refresh()

        def renamed(n):
            made = row(n, True)
            if "f5" in made:
                made["five"] = made.pop("f5")
            made["pairs"] = [(key, {"u": of["u"], "days": of["l"]}) for key, of in made["pairs"]]
            return made


        for numbers in [range(5, 6), range(6, 10)]:
            table.append(arrow(table, [renamed(n) for n in numbers]))


def read(name):
    """The rows of a table: pairs of a map as a dictionary, and bytes of a UUID as one."""
    found = catalog.load_table(name).scan().to_arrow().sort_by("n")
    return found.column_names, found.to_pylist(maps_as_pydicts="strict")


names, rows = read("made.every")
assert rows == read("made.sorted")[1]
show(names, [list(row.values()) for row in rows])
