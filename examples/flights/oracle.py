"""Compares the training table with the project's own SELECTs, run by DuckDB.

The SELECTs are read from pipelines/*.sql as they stand. DuckDB runs them month
by month, a month in two parts since its joins grow with the square of a part:
over departures from a day before the part (the longest window over departures),
arrivals from 8 days before it to 36 hours after it, and weather up to its end.
Rows are matched by flight_id and compared value by value, floats to a relative
1e-9. A difference makes the exit code 1.
"""

import argparse
import re
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
TIMES = {"departures": "scheduled_at", "arrivals": "landed_at", "weather": "observed_at"}
LABEL_BOUND = timedelta(hours=36)
# What a part's rows can look back on and forward to, stream by stream.
LOOK_BACK = {"departures": timedelta(days=1), "arrivals": timedelta(days=8), "weather": timedelta(days=400)}
LOOK_AHEAD = {"departures": timedelta(0), "arrivals": LABEL_BOUND, "weather": timedelta(0)}
RELATIVE = 1e-9
FIRST_MONTH, MONTHS = datetime(2013, 1, 1), 13
PARTS = 2
DIFFERENCES_SHOWN = 10


def statements(folder):
    """The statements of all .sql files in a folder, without comments, in the order of names."""
    found = []
    for path in sorted(Path(folder).glob("*.sql")):
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        found += [part.strip() for part in text.split(";") if part.strip()]
    return found


def view(folder, name):
    """The SELECT of CREATE VIEW <name>."""
    return body(folder, rf"CREATE\s+VIEW\s+{re.escape(name)}\s+AS\s+(?=SELECT)")


def insert(folder, target):
    """The SELECT of INSERT INTO <target>."""
    return body(folder, rf"INSERT\s+INTO\s+{re.escape(target)}\s+(?=SELECT)")


def body(folder, head):
    for statement in statements(folder):
        match = re.match(head, statement, re.IGNORECASE)
        if match:
            return statement[match.end():]
    raise SystemExit(f"{folder}: no statement matches {head}")


def months(first=FIRST_MONTH, count=MONTHS):
    """Pairs (start, end); the last one, January 2014, holds five hours of New Year's Eve in New York."""
    start = first
    for _ in range(count):
        end = (start.replace(day=28) + timedelta(days=4)).replace(day=1)
        yield start, end
        start = end


def load(connection, data, start, end):
    """Makes the three streams around [start, end), as tables under the streams' names."""
    for name, time in TIMES.items():
        connection.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM read_parquet($files) "
            f"WHERE {time} >= $start AND {time} <= $end",
            {
                "files": sorted(str(path) for path in Path(data, name).glob("*.parquet")),
                "start": start - LOOK_BACK[name],
                "end": end + LOOK_AHEAD[name],
            },
        )


def rows_of(connection, data, select, start, end, pipelines):
    """The rows of a SELECT over the view features with scheduled_at in [start, end), as an Arrow table."""
    load(connection, data, start, end)
    connection.execute(f"CREATE OR REPLACE VIEW features AS {view(pipelines, 'features')}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE part AS SELECT * FROM ({select}) "
        "WHERE scheduled_at >= $start AND scheduled_at < $end",
        {"start": start, "end": end},
    )
    return connection.sql("FROM part").to_arrow_table()


def expected(data, select, pipelines, begin=FIRST_MONTH, until=datetime.max):
    """Yields (month, table) for every month that begins before `until` and ends after `begin`."""
    connection = duckdb.connect()
    for start, end in months():
        if start <= until and end > begin:
            edges = [start + (end - start) * part / PARTS for part in range(PARTS + 1)]
            parts = [rows_of(connection, data, select, *edge, pipelines) for edge in zip(edges, edges[1:])]
            yield f"{start:%Y-%m}", pa.concat_tables(parts)


def read_table(options):
    """The table to check: a Parquet file, or an Iceberg table of a warehouse through PyIceberg."""
    if options.table:
        return pq.read_table(options.table)
    return read_iceberg(options.warehouse, options.name)


def read_iceberg(warehouse, name):
    from pyiceberg.catalog.sql import SqlCatalog

    folder = Path(warehouse).resolve()
    catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=f"file://{folder}")
    return catalog.load_table(name).scan().to_arrow()


def instant(text):
    """An instant of the command line, in UTC with or without saying so."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(timezone.utc).replace(tzinfo=None)


def until(table, at):
    """Rows whose label was known by `at`: scheduled departure + 36 h is not after it."""
    return table.filter(pc.less_equal(table["scheduled_at"], pa.scalar(at - LABEL_BOUND, pa.timestamp("us"))))


def differing(found, wanted):
    """A mask of the rows at which two columns of equal length differ."""
    absent = np.asarray(found.is_null()) != np.asarray(wanted.is_null())
    count = pa.types.is_floating(wanted.type) + pa.types.is_floating(found.type)
    if count == 1:
        # An integer beside a float is that very number or another one.
        floats, integers = (found, wanted) if pa.types.is_floating(found.type) else (wanted, found)
        a = pc.fill_null(floats.cast(pa.float64()), 0).to_numpy()
        whole = (a == np.trunc(a)) & (np.abs(a) < 2.0**63)
        b = pc.fill_null(integers.cast(pa.int64()), 0).to_numpy()
        same = whole & (np.where(whole, a, 0).astype(np.int64) == b)
    elif count:
        a = pc.fill_null(found.cast(pa.float64()), 0).to_numpy()
        b = pc.fill_null(wanted.cast(pa.float64()), 0).to_numpy()
        with np.errstate(invalid="ignore"):
            close = np.abs(a - b) <= RELATIVE * np.maximum(np.abs(a), np.abs(b))
        same = close | (a == b) | (np.isnan(a) & np.isnan(b))
    elif pa.types.is_timestamp(wanted.type):
        a, b = (column.cast(pa.timestamp("us")).cast(pa.int64()) for column in (found, wanted))
        same = np.asarray(pc.fill_null(pc.equal(a, b), True))
    elif pa.types.is_integer(wanted.type):
        same = np.asarray(pc.fill_null(pc.equal(found.cast(pa.int64()), wanted.cast(pa.int64())), True))
    else:
        same = np.asarray(pc.fill_null(pc.equal(found.cast(wanted.type), wanted), True))
    return absent | ~same


class Report:
    """Counts rows and differences, and keeps the first of them to print."""

    def __init__(self):
        self.rows = self.values = self.differences = 0
        self.shown = []

    def differ(self, count, text):
        self.differences += count
        if count and len(self.shown) < DIFFERENCES_SHOWN:
            self.shown.append(text)

    def compare(self, month, found, wanted):
        """Compares one month of two tables, matched by flight_id."""
        if set(found.column_names) != set(wanted.column_names):
            odd = sorted(set(found.column_names) ^ set(wanted.column_names))
            raise SystemExit(f"columns on one side only: {', '.join(odd)}")
        found, wanted = found.sort_by("flight_id"), wanted.sort_by("flight_id")
        ids, other = (side["flight_id"].combine_chunks() for side in (found, wanted))
        if not ids.equals(other):
            repeated = len(ids) - len(ids.unique())
            self.differ(repeated, f"{month}: {repeated} rows repeat a flight_id")
            for here, there, what in ((ids, other, "not expected"), (other, ids, "missing")):
                odd = here.filter(pc.invert(pc.is_in(here, value_set=there)))
                self.differ(len(odd), f"{month}: {len(odd)} rows {what}, the first is {odd[:1]}")
            both = ids.unique().filter(pc.is_in(ids.unique(), value_set=other))
            found, wanted = pick(found, both), pick(wanted, both)
        both = wanted["flight_id"]
        for name in wanted.column_names:
            mask = differing(found[name].combine_chunks(), wanted[name].combine_chunks())
            at = int(mask.argmax())
            self.differ(int(mask.sum()), f"{month}: {int(mask.sum())} of {name}; {both[at]} has "
                        f"{found[name][at]}, expected {wanted[name][at]}" if mask.any() else "")
            self.values += len(mask)
        self.rows += len(both)
        print(f"{month}  {len(found):7,} rows compared  {self.differences:,} differences so far", flush=True)


def pick(table, ids):
    """The rows of `ids`, in that order; of rows that repeat an id, the first."""
    column = table["flight_id"].cast(pa.string()).combine_chunks()
    return table.take(pc.index_in(ids, value_set=column))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--table", type=Path, help="the training table as a Parquet file")
    where.add_argument("--warehouse", type=Path, help="the folder of the warehouse, with catalog.db")
    parser.add_argument("--name", default="lake.flights_training", help="the table in the warehouse")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="what prepare.py wrote")
    parser.add_argument("--pipelines", type=Path, default=HERE / "pipelines")
    parser.add_argument("--until", type=instant, default=datetime(2014, 1, 3),
                        help="where the run's inputs ended, in UTC; labels beyond it were not known")
    options = parser.parse_args()
    table, report = until(read_table(options), options.until), Report()
    seen = 0
    select = insert(options.pipelines, "lake.flights_training")
    for month, wanted in expected(options.data, select, options.pipelines, until=options.until - LABEL_BOUND):
        start = datetime.strptime(month, "%Y-%m")
        end = next(end for begin, end in months() if begin == start)
        found = table.filter(pc.and_(
            pc.greater_equal(table["scheduled_at"], pa.scalar(start, pa.timestamp("us"))),
            pc.less(table["scheduled_at"], pa.scalar(end, pa.timestamp("us")))))
        seen += found.num_rows
        report.compare(month, found, until(wanted, options.until))
    report.differ(table.num_rows - seen, f"{table.num_rows - seen} rows lie in none of the months")
    for line in report.shown:
        print(line)
    print(f"{report.rows:,} rows and {report.values:,} values compared: {report.differences:,} differences")
    sys.exit(1 if report.differences or not report.rows else 0)


if __name__ == "__main__":
    main()
