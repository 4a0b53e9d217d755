"""DuckDB with onnxruntime as a peer of windows that a model scores, and the model.

    scored_peer.py fit FEATURES MODEL.onnx
    scored_peer.py run QUERY.sql MESSAGES MODEL.onnx OUTPUT.parquet

`fit` trains 300 trees of depth 6 on the rows that W1 has written. `run` answers the query on one thread, scores its rows
on one thread as they come out, and writes both.
"""

import json
import sys

import duckdb

KEYS = ["event_id", "author_id", "ts"]
ROWS = 100_000
BATCH = 65_536


def files(pattern):
    quoted = "'" + pattern.replace("'", "''") + "'"
    return f"read_parquet({quoted}, hive_partitioning = false)"


def matrix(columns):
    import numpy

    return numpy.stack([numpy.asarray(column, dtype=numpy.float32) for column in columns], axis=1)


def fit(features, model):
    import numpy
    import onnx
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    rows = duckdb.connect().execute(f"FROM {files(features)} ORDER BY ts, event_id LIMIT {ROWS}").fetchnumpy()
    names = [name for name in rows if name not in KEYS]
    x = matrix([numpy.ma.filled(numpy.ma.asarray(rows[name], dtype=numpy.float32), numpy.nan) for name in names])
    random = numpy.random.default_rng(7)
    ranks = numpy.argsort(numpy.argsort(numpy.nan_to_num(x), axis=0), axis=0) / len(x)
    y = ranks @ random.normal(size=len(names)) + random.normal(size=len(x)) > 0
    trees = xgboost.XGBClassifier(n_estimators=300, max_depth=6, learning_rate=0.05, random_state=7, n_jobs=1)
    exported = convert_xgboost(trees.fit(x, y.astype(int)), initial_types=[("x", FloatTensorType([None, len(names)]))])
    onnx.helper.set_model_props(exported, {"riverrun.inputs": json.dumps(names)})
    onnx.save(exported, model)


def run(query, messages, model, output):
    import numpy
    import onnxruntime
    import pyarrow
    import pyarrow.parquet

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given, probabilities = session.get_inputs()[0].name, session.get_outputs()[1].name
    names = json.loads(session.get_modelmeta().custom_metadata_map["riverrun.inputs"])
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"CREATE VIEW messages AS FROM {files(messages)}")
    with open(query) as file:
        text = file.read()
    # Sums have 128 bits, of which Arrow makes decimals.
    sums = ", ".join(f"{name}::BIGINT AS {name}" for name in names if "_sum_" in name)
    batches = connection.execute(f"SELECT * REPLACE ({sums}) FROM ({text})").to_arrow_reader(BATCH)
    writer = None
    for batch in batches:
        x = matrix([batch.column(name).to_numpy(zero_copy_only=False) for name in names])
        scores = session.run([probabilities], {given: x})[0][:, 1].astype(numpy.float64)
        table = pyarrow.Table.from_batches([batch]).append_column("score", pyarrow.array(scores))
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(output, table.schema, compression="zstd", compression_level=1)
        writer.write_table(table)
    writer.close()


if sys.argv[1] == "fit":
    fit(*sys.argv[2:])
else:
    run(*sys.argv[2:])
