"""Reads both tables of a warehouse with PyIceberg: rows, pruning, partitions, statistics, properties."""

import datetime as dt
import sys

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

folder = sys.argv[1]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
START = dt.datetime(2013, 1, 1)


def expected():
    for n in range(40):
        if n % 7 == 6:
            yield {"n": n} | dict.fromkeys(["small", "double", "float", "flag", "text", "bytes", "date", "at"])
        else:
            yield {
                "n": n,
                "small": n - 20,
                "double": n / 8,
                "float": n / 8,
                "flag": n % 2 == 0,
                "text": f"ß{n:02}",
                "bytes": bytes([n, 0]),
                "date": dt.date(2013, 1, 1) + dt.timedelta(days=n),
                "at": START + n * dt.timedelta(days=1) / 10 + dt.timedelta(microseconds=1),
            }


def check_statistics(table):
    rows = {row["n"]: row for row in expected()}
    for file in table.inspect.files().to_pylist():
        metrics = file["readable_metrics"]
        low, high = metrics["n"]["lower_bound"], metrics["n"]["upper_bound"]
        if table.spec().is_unpartitioned():
            held = [rows[n] for n in range(low, high + 1)]
        else:
            day = file["partition"]["at_day"]
            held = [row for row in rows.values() if (row["at"] and row["at"].date()) == day and low <= row["n"] <= high]
        assert len(held) == file["record_count"], file
        for column in held[0]:
            values = [row[column] for row in held if row[column] is not None]
            metric = metrics[column]
            assert metric["value_count"] == len(held), (column, metric)
            assert metric["null_value_count"] == len(held) - len(values), (column, metric)
            assert metric["column_size"] > 0, (column, metric)
            assert metric["lower_bound"] == (min(values) if values else None), (column, metric)
            assert metric["upper_bound"] == (max(values) if values else None), (column, metric)


def check(name):
    table = catalog.load_table(name)
    assert sorted(table.scan().to_arrow().to_pylist(), key=lambda row: row["n"]) == list(expected()), name
    low, high = dt.datetime(2013, 1, 2), dt.datetime(2013, 1, 4)
    between = And(GreaterThanOrEqual("at", low), LessThan("at", high))
    some = [row for row in expected() if row["at"] and low <= row["at"] < high]
    scan = table.scan(row_filter=between)
    assert sorted(scan.to_arrow().to_pylist(), key=lambda row: row["n"]) == some, name
    if name == "lake.cut":
        assert len(list(scan.plan_files())) < len(list(table.scan().plan_files()))
        partitions = {row["partition"]["at_day"]: row["record_count"] for row in table.inspect.partitions().to_pylist()}
        assert partitions[dt.date(2013, 1, 1)] == 9 and partitions[None] == 5, partitions
        assert sum(partitions.values()) == 40 and len(partitions) == 5, partitions
        assert [field.source_id for field in table.sort_order().fields] == [9]
        assert {file["sort_order_id"] for file in table.inspect.files().to_pylist()} == {1}
    else:
        assert table.spec().is_unpartitioned()
    check_statistics(table)
    assert table.properties["riverrun.note"] == "second"
    snapshots = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number)
    assert [snapshot.summary["riverrun.note"] for snapshot in snapshots] == ["first", "second"]
    assert table.current_snapshot().summary["total-records"] == "40"
    print(f"{name}: {len(table.scan().to_arrow())} rows")


assert catalog.list_namespaces() == [("lake",)]
for identifier in sorted(catalog.list_tables("lake")):
    check(".".join(identifier))
