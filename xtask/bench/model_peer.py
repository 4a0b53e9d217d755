"""onnxruntime as a peer of the model crate's evaluator.

    model_peer.py make MODEL.onnx ROWS
    model_peer.py score MODEL.onnx ROWS BATCH SCORES
    model_peer.py pinned PROGRAM ARGUMENT..
    model_peer.py compare SCORES SCORES

`make` trains 300 trees of depth 6 on made-up data and writes the model, and rows as 20 float32 a row, a tenth of them
missing. `score` scores them in batches, on one thread of one core, and prints rows and CPU seconds as JSON. `pinned`
runs another program on that core. `compare` prints the greatest difference of two files of float64 scores.
"""

import json
import os
import sys
import time

COLUMNS = 20
ROWS = 65536
# Batches are scored until this many rows and seconds of CPU have gone by.
ROWS_MIN = 16384
CPU_MIN_S = 0.5


def make(model, rows):
    import numpy
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    random = numpy.random.default_rng(7)
    x = random.normal(size=(ROWS, COLUMNS)).astype(numpy.float32)
    signal = x[:, 0] * 1.5 + numpy.sin(x[:, 1] * 2) - x[:, 2] * x[:, 3] + x[:, 4] * (x[:, 5] > 0)
    y = (signal + random.normal(size=ROWS) > 1).astype(int)
    x[random.random(x.shape) < 0.1] = numpy.nan
    trees = xgboost.XGBClassifier(n_estimators=300, max_depth=6, learning_rate=0.05, random_state=7, n_jobs=1)
    converted = convert_xgboost(trees.fit(x, y), initial_types=[("input", FloatTensorType([None, COLUMNS]))])
    x.tofile(rows)
    with open(model, "wb") as file:
        file.write(converted.SerializeToString())


def pin():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def score(model, rows, batch, scores):
    pin()
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    x = numpy.fromfile(rows, dtype=numpy.float32).reshape(-1, COLUMNS)
    run = lambda part: session.run(["probabilities"], {name: part})[0]
    run(x)[:, 1].astype(numpy.float64).tofile(scores)
    parts = [x[at : at + batch] for at in range(0, len(x), batch)]
    count, begin = 0, time.process_time()
    while True:
        part = parts[count // batch % len(parts)]
        run(part)
        count += len(part)
        if count >= ROWS_MIN and count // batch % 16 == 0 and time.process_time() - begin >= CPU_MIN_S:
            break
    return {"rows": count, "cpu_s": time.process_time() - begin}


def compare(left, right):
    import numpy

    left, right = numpy.fromfile(left), numpy.fromfile(right)
    return {"rows": [len(left), len(right)], "differ": float(abs(left - right).max()) if len(left) == len(right) else 1.0}


command, *arguments = sys.argv[1:]
if command == "make":
    make(*arguments)
elif command == "score":
    model, rows, batch, scores = arguments
    json.dump(score(model, rows, int(batch), scores), sys.stdout)
elif command == "compare":
    json.dump(compare(*arguments), sys.stdout)
else:
    pin()
    os.execvp(arguments[0], arguments)
