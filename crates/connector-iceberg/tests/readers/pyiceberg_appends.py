"""Appends one row per commit to a table that others append to at the same time."""

import sys

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException

folder, commits = sys.argv[1], int(sys.argv[2])
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
for n in range(commits):
    for attempt in range(100):
        try:
            catalog.load_table("lake.t").append(pa.table({"n": pa.array([1000 + n], pa.int64())}))
            break
        except CommitFailedException:
            continue
    else:
        raise SystemExit(f"commit {n} met changes by others in 100 attempts")
print(f"{commits} commits")
