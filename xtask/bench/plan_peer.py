"""Plans the reading of one day of a table with PyIceberg, and prints the milliseconds and the number of files as JSON."""

import json
import sys
import time

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

folder, name, begin, end = sys.argv[1:]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
began = time.perf_counter()
day = And(GreaterThanOrEqual("at", begin), LessThan("at", end))
files = list(catalog.load_table(name).scan(row_filter=day).plan_files())
print(json.dumps({"ms": (time.perf_counter() - began) * 1000, "files": len(files)}))
