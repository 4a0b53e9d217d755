"""Changes the columns of a table that we wrote, and reads it with PyIceberg under the new ones."""

import sys

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import LongType, StringType

folder, step = sys.argv[1], sys.argv[2]
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
table = catalog.load_table("lake.cut")
if step == "change":
    with table.update_schema() as update:
        update.rename_column("text", "title")
        update.update_column("small", LongType())
        update.rename_column("at", "happened")
        update.delete_column("flag")
    with table.update_schema() as update:
        update.move_first("title")
        # Another column of an old name: rows from before it have no value.
        update.add_column("flag", StringType())
        update.add_column("text", StringType())
rows = table.scan().to_arrow().sort_by("n").to_pylist()
assert len(rows) == (40 if step == "change" else 41), len(rows)
for n, row in enumerate(rows[:40]):
    expected = (None, None) if n % 7 == 6 else (f"ß{n:02}", n - 20)
    assert (row["title"], row["small"]) == expected, row
    assert row["text"] is None and row["flag"] is None and (row["happened"] is None) == (n % 7 == 6), row
if step == "look":
    last = rows[40]
    assert (last["title"], last["small"], last["flag"], last["text"]) == ("last", 1 << 40, "f", "t"), last
print(f"{len(rows)} rows")
