"""Sets a table back, tags it, gives it statistics, or appends to it, as somebody else than its job."""

import sys

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table.statistics import StatisticsFile
from pyiceberg.table.update import SetSnapshotRefUpdate

folder, step, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
catalog = SqlCatalog("riverrun", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
table = catalog.load_table("lake.t")
line = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number)
if step == "back":
    # The first commit with a row.
    first = next(one for one in line if one.summary["total-records"] == "1")
    update = SetSnapshotRefUpdate(ref_name="main", type="branch", snapshot_id=first.snapshot_id)
    catalog.commit_table(table, (), (update,))
    table = catalog.load_table("lake.t")
if step == "tag":
    table.manage_snapshots().create_tag(line[-1].snapshot_id, "kept").commit()
if step in ("back", "append"):
    for n in range(count):
        table.append(pa.table({"n": pa.array([100 + n], pa.int64())}))
        table = catalog.load_table("lake.t")
if step == "statistics":
    # Of the first and the last snapshot.
    for snapshot in (line[0], line[-1]):
        path = f"{folder}/lake/t/metadata/{snapshot.sequence_number}.puffin"
        open(path, "w").write("statistics")
        file = StatisticsFile(
            snapshot_id=snapshot.snapshot_id,
            statistics_path=f"file://{path}",
            file_size_in_bytes=10,
            file_footer_size_in_bytes=4,
            blob_metadata=[],
        )
        with catalog.load_table("lake.t").update_statistics() as update:
            update.set_statistics(file)
