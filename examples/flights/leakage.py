"""Proves that no feature knows anything before its time.

For each of N instants T, every raw value that became known after T is blanked
before the data files are prepared. Then all features of the flights that were
due at or before T must be the same, to the bit, as without blanking. With
--leak, departures carry their dep_delay and the view shows it: the test must
then fail, or it could not have noticed.

Flights due in the 24 hours up to T are compared, over the raw rows from 10 days
before T to 2 days after it. That sees as much as comparing all flights would:
one SELECT makes every row, and a row due at t shows that a value was read d
ahead of its time only when T - t < d. So the rows nearest to T show whatever
older rows do, and no bound in the project reaches further ahead than 36 hours.
Features look back at most 7 days, to landings of flights that were due up to
33 hours earlier; for all rows compared that lies within the 10 days.

The features come from `riverrun query` (--riverrun PATH), or from DuckDB.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
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
COMPARED = timedelta(hours=24)
RAW_BEFORE, RAW_AFTER = timedelta(days=10), timedelta(days=2)
QUERY = "SELECT * FROM features WHERE scheduled_at > TIMESTAMP '{start}' AND scheduled_at <= TIMESTAMP '{end}'"


def query_riverrun(riverrun, project, start, end):
    """The view features over (start, end], from the command line, as an Arrow table."""
    out = project / "features.parquet"
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [riverrun, "-C", project, "query", QUERY.format(start=start, end=end), "--out", out],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    return pq.read_table(out)


def query_duckdb(project, start, end):
    """The same by DuckDB."""
    connection = duckdb.connect()
    select = QUERY.format(start=start, end=end)
    return oracle.rows_of(connection, project / "data", select, start, end + timedelta(seconds=1), project / "pipelines")


def around(raw, at):
    """The raw rows from RAW_BEFORE before an instant to RAW_AFTER after it; both ends in minutes since 1970."""
    first, last = at - RAW_BEFORE // prepare.MINUTE, at + RAW_AFTER // prepare.MINUTE
    flights = [row for row in raw["flights"] if first <= prepare.scheduled(row) <= last]
    weather = [row for row in raw["weather"] if first <= prepare.instant(row["time_hour"]) <= last]
    return raw | {"flights": flights, "weather": weather}


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


def check(options, raw, at, folder):
    """The line about one instant, the lines about what differs, and how many flights were compared."""
    some, end = around(raw, at), prepare.as_datetime(at)

    def features(name, rows):
        project = Path(folder, name)
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir()
        project_over_files(project, options.leak)
        fill(project, rows, options.leak)
        if options.riverrun:
            return query_riverrun(options.riverrun.resolve(), project, end - COMPARED, end)
        return query_duckdb(project, end - COMPARED, end)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        sides = [threads.submit(features, *side) for side in (("whole", some), ("blanked", prepare.blank(some, at)))]
        whole, blanked = (side.result() for side in sides)
    return differences(whole, blanked), whole.num_rows


def raw_files(folder, scratch):
    """Reads the raw files of a folder, which is filled from PyPI when it has none."""
    if folder is None:
        return prepare.read_raw(prepare.download(Path(scratch)))
    if not all((folder / name).exists() for name in prepare.RAW_FILES):
        folder.mkdir(parents=True, exist_ok=True)
        prepare.download(folder)
    return prepare.read_raw(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, help="a folder for the raw files, filled from PyPI when it has none")
    parser.add_argument("--riverrun", type=Path, help="the command line; without it DuckDB computes the features")
    parser.add_argument("--instants", type=int, default=20)
    parser.add_argument("--leak", action="store_true", help="let departures carry dep_delay: the test must fail")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        raw = raw_files(options.raw, folder)
        for at in instants(raw, options.instants):
            found, flights = check(options, raw, at, folder)
            failed += bool(found) or flights == 0
            print(f"{prepare.as_datetime(at)}  {flights:5,} flights  {found[0] if found else 'the same bits'}", flush=True)
            for line in found[1:]:
                print(f"{'':21}{line}")
    print(f"{options.instants - failed} of {options.instants} instants: no feature knows what came after")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
