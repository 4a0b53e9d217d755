"""Proves that no feature knows anything before its time.

For each of N instants T, every raw value that became known after T is blanked
before the data files are prepared. Then all features of all flights that were
due at or before T must be the same, to the bit, as with the whole year. With
--leak, departures carry their dep_delay and the view shows it: the test must
then fail, or it could not have noticed.

The features come from `riverrun query` (--riverrun PATH), or from DuckDB.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import oracle
import prepare

HERE = Path(__file__).resolve().parent
SEED = 20130601
FIRST, LAST = datetime(2013, 1, 10), datetime(2013, 12, 30)
EVER = datetime(2012, 1, 1), datetime(2015, 1, 1)
QUERY = "SELECT * FROM features WHERE scheduled_at > TIMESTAMP '{start}' AND scheduled_at <= TIMESTAMP '{end}'"


def query_riverrun(riverrun, project, start, end):
    """The view features over (start, end], from the command line, as an Arrow table."""
    out = project / "features.parquet"
    out.unlink(missing_ok=True)
    subprocess.run(
        [str(riverrun), "query", QUERY.format(start=start, end=end), "--project", str(project), "--out", str(out)],
        check=True, stdout=subprocess.DEVNULL,
    )
    return pq.read_table(out)


def query_duckdb(project, start, end):
    """The same by DuckDB; its time grows with the square of the span, so (start, end] is short."""
    connection = duckdb.connect()
    select = QUERY.format(start=start, end=end)
    return oracle.month_of(connection, project / "data", select, start, end + timedelta(seconds=1), project / "pipelines")


def between(table, start, end):
    """The rows of flights due in (start, end]."""
    at = table["scheduled_at"].cast(pa.timestamp("us"))
    first, last = (pa.scalar(moment, pa.timestamp("us")) for moment in (start, end))
    return table.filter(pc.and_(pc.greater(at, first), pc.less_equal(at, last)))


def project_over_files(folder, leak):
    """A copy of the project whose streams read the prepared files, and nothing live."""
    shutil.copy(HERE / "riverrun.toml", folder)
    shutil.copytree(HERE / "pipelines", folder / "pipelines")
    edits = [(name, f"HISTORY raw.{name} LIVE {name}", f"HISTORY FILES 'data/{name}/*.parquet'") for name in oracle.TIMES]
    edits += [(name, f"ARCHIVE {name};", "") for name in oracle.TIMES]
    change(folder / "pipelines" / "streams.sql", [(old, new) for _, old, new in edits])
    if leak:
        change(folder / "pipelines" / "streams.sql",
               [("scheduled_minutes INTEGER,", "scheduled_minutes INTEGER,\n  dep_delay INTEGER,")])
        change(folder / "pipelines" / "features.sql", [("SELECT d.flight_id,", "SELECT d.dep_delay, d.flight_id,")])


def change(path, edits):
    text = path.read_text(encoding="utf-8")
    for old, new in edits:
        if text.count(old) != 1:
            raise SystemExit(f"{path}: found {text.count(old)} times {old!r}, expected one")
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def fill(project, raw, leak):
    """Prepares raw rows into the project's data folder."""
    shutil.rmtree(project / "data", ignore_errors=True)
    for _ in prepare.write(prepare.derive(raw, leak), project / "data", level=1):
        pass


def bits(column):
    """A column's values in which two floats are equal only if all their bits are."""
    if pa.types.is_floating(column.type):
        return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.cast(pa.float64()).chunks], pa.int64())
    return column


def differences(whole, blanked):
    """Lists how the rows of two feature tables differ, one line for each column."""
    whole, blanked = whole.sort_by("flight_id"), blanked.sort_by("flight_id")
    if whole.column_names != blanked.column_names:
        return ["other columns"]
    if not whole["flight_id"].equals(blanked["flight_id"]):
        return [f"{blanked.num_rows:,} rows, or other ones, where {whole.num_rows:,} were expected"]
    found = []
    for name in whole.column_names:
        a, b = bits(whole[name]), bits(blanked[name])
        unequal = pc.fill_null(pc.not_equal(a, b), False)
        absent = pc.not_equal(pc.is_null(a), pc.is_null(b))
        rows = np.flatnonzero(pc.or_(unequal, absent).to_numpy())
        if len(rows):
            at = int(rows[0])
            found.append(f"{name}: {len(rows):,} of {whole.num_rows:,} rows; "
                         f"{whole['flight_id'][at]} has {whole[name][at]}, and {blanked[name][at]} when blanked")
    return found


def instants(raw, count):
    """Scheduled departures spread over the year by a fixed seed: busy moments, with rows that are equal in time."""
    first, last = ((moment - prepare.EPOCH) // prepare.MINUTE for moment in (FIRST, LAST))
    due = sorted(at for at in map(prepare.scheduled, raw["flights"]) if first <= at <= last)
    return sorted(random.Random(SEED).sample(due, count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, help="the raw files; else from PyPI")
    parser.add_argument("--riverrun", type=Path, help="the command line; without it DuckDB computes the features")
    parser.add_argument("--instants", type=int, default=20)
    parser.add_argument("--days", type=int, help="compare only flights of the days before T (default: all; DuckDB: 2)")
    parser.add_argument("--leak", action="store_true", help="let departures carry dep_delay: the test must fail")
    options = parser.parse_args()
    days = timedelta(days=options.days or (400 if options.riverrun else 2))
    with tempfile.TemporaryDirectory() as scratch:
        raw = prepare.read_raw(options.raw or prepare.download(Path(scratch)))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        whole, blanked = Path(folder, "whole"), Path(folder, "blanked")
        for project in (whole, blanked):
            project.mkdir()
            project_over_files(project, options.leak)
        fill(whole, raw, options.leak)
        if options.riverrun:
            year = query_riverrun(options.riverrun.resolve(), whole, *EVER)
        for at in instants(raw, options.instants):
            end = prepare.as_datetime(at)
            fill(blanked, prepare.blank(raw, at), options.leak)
            if options.riverrun:
                expected = between(year, end - days, end)
                found = differences(expected, query_riverrun(options.riverrun.resolve(), blanked, end - days, end))
            else:
                expected = query_duckdb(whole, end - days, end)
                found = differences(expected, query_duckdb(blanked, end - days, end))
            failed += bool(found) or expected.num_rows == 0
            print(f"{end}  {expected.num_rows:7,} flights  {'the same bits' if not found else found[0]}", flush=True)
            for line in found[1:]:
                print(f"{'':21}{line}")
    print(f"{options.instants - failed} of {options.instants} instants: no feature knows what came after")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
