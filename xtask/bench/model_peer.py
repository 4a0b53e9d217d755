"""onnxruntime as a peer of the model crate's evaluator.

    model_peer.py make FOLDER
    model_peer.py score MODEL.onnx ROWS BATCH SCORES
    model_peer.py pinned PROGRAM ARGUMENT..
    model_peer.py compare SCORES SCORES

`make` writes models of every kind into a folder, each with rows as float32: 300 trees of depth 6, a linear model, a
pipeline of scalers and encoders, and neural nets with weights as they are drawn. `score` scores rows in batches, on one
thread of one core, and prints rows and CPU seconds as JSON. `pinned` runs another program on that core. `compare` prints
the greatest difference of two files of float64 scores.
"""

import json
import os
import sys
import time

COLUMNS = 20
ROWS = 16384
# Batches are scored until this many rows and seconds of CPU have gone by.
ROWS_MIN = 4096
CPU_MIN_S = 0.5


def make(folder):
    import numpy

    random = numpy.random.default_rng(7)
    os.makedirs(folder, exist_ok=True)
    for name, (model, rows) in {**trained(random), **drawn(random)}.items():
        rows.astype(numpy.float32).tofile(os.path.join(folder, f"{name}.f32"))
        with open(os.path.join(folder, f"{name}.onnx"), "wb") as file:
            file.write(model.SerializeToString())


def trained(random):
    """Trees, a linear model and a pipeline over numbers and categories."""
    import numpy
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as BoosterFloats
    from skl2onnx import convert_sklearn, to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x = random.normal(size=(ROWS, COLUMNS)).astype(numpy.float32)
    signal = x[:, 0] * 1.5 + numpy.sin(x[:, 1] * 2) - x[:, 2] * x[:, 3] + x[:, 4] * (x[:, 5] > 0)
    y = (signal + random.normal(size=ROWS) > 1).astype(int)
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    options = {"options": {"zipmap": False}, "target_opset": {"": 18, "ai.onnx.ml": 3}}
    coded = x.copy()
    coded[:, 18:] = random.integers(0, 30, (ROWS, 2))
    numbers, codes = list(range(18)), [18, 19]
    parts = [("n", StandardScaler(), numbers), ("c", OneHotEncoder(handle_unknown="ignore"), codes)]
    encoders = make_pipeline(ColumnTransformer(parts), LogisticRegression(max_iter=300)).fit(coded, y)
    types = [("n", FloatTensorType([None, 18])), ("c", Int64TensorType([None, 2]))]
    gaps = x.copy()
    gaps[random.random(x.shape) < 0.1] = numpy.nan
    trees = xgboost.XGBClassifier(n_estimators=300, max_depth=6, learning_rate=0.05, random_state=7, n_jobs=1)
    trees = convert_xgboost(trees.fit(gaps, y), initial_types=[("input", BoosterFloats([None, COLUMNS]))])
    return {
        "trees": (trees, gaps),
        "linear": (to_onnx(linear, x[:1], **options), x),
        "encoders": (convert_sklearn(encoders, "encoders", types, **options), coded),
    }


class Net:
    """A graph of floats while it grows."""

    def __init__(self, random):
        self.random, self.nodes, self.constants, self.count = random, [], [], 0

    def weights(self, *shape):
        import numpy

        return self.constant((self.random.normal(size=shape) / numpy.sqrt(shape[0])).astype(numpy.float32))

    def constant(self, array):
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(array, f"w{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, op, *inputs, outputs=1, **attributes):
        from onnx import helper

        names = [f"t{self.count + at}" for at in range(outputs)]
        self.count += outputs
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def dense(self, x, inputs, outputs, activation=None):
        x = self.add("Gemm", x, self.weights(inputs, outputs), self.weights(outputs))
        return self.add(activation, x) if activation else x

    def model(self, score, inputs):
        from onnx import TensorProto, helper

        nodes = [*self.nodes, helper.make_node("Sigmoid", [score], ["score"])]
        given = [helper.make_tensor_value_info(name, kind, ["rows", *sizes]) for name, kind, sizes in inputs]
        results = [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])]
        graph = helper.make_graph(nodes, "net", given, results, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def attention(net, x, steps, width, heads):
    """One layer of an encoder over [rows, steps, width]."""
    import numpy

    each = width // heads
    split = net.constant(numpy.array([-1, steps, heads, each]))
    q, k, v = [net.add("Reshape", net.add("MatMul", x, net.weights(width, width)), split) for _ in range(3)]
    q, v = [net.add("Transpose", part, perm=[0, 2, 1, 3]) for part in [q, v]]
    k = net.add("Transpose", k, perm=[0, 2, 3, 1])
    scale = net.constant(numpy.array(each**-0.5, numpy.float32))
    shares = net.add("Softmax", net.add("Mul", net.add("MatMul", q, k), scale), axis=-1)
    mixed = net.add("Transpose", net.add("MatMul", shares, v), perm=[0, 2, 1, 3])
    mixed = net.add("Reshape", mixed, net.constant(numpy.array([-1, steps, width])))
    ones, zeros = net.constant(numpy.ones(width, numpy.float32)), net.constant(numpy.zeros(width, numpy.float32))
    x = net.add("LayerNormalization", net.add("Add", x, mixed), ones, zeros)
    wide = net.add("Relu", net.add("MatMul", x, net.weights(width, 2 * width)))
    return net.add("LayerNormalization", net.add("Add", x, net.add("MatMul", wide, net.weights(2 * width, width))), ones, zeros)


def drawn(random):
    """Neural nets whose weights are drawn: what they cost does not depend on what they say."""
    import numpy
    from onnx import TensorProto

    floats, ids, found = TensorProto.FLOAT, TensorProto.INT64, {}
    net = Net(random)
    hidden = net.dense(net.dense("x", 20, 64, "Relu"), 64, 64, "Relu")
    found["mlp"] = (net.model(net.dense(hidden, 64, 1), [("x", floats, [20])]), random.normal(size=(ROWS, 20)))
    net = Net(random)
    looked = net.add("Flatten", net.add("Gather", net.weights(100_000, 16), "ids"))
    found["embeddings"] = (net.model(net.dense(looked, 64, 1), [("ids", ids, [4])]), random.integers(0, 100_000, (ROWS, 4)))
    net = Net(random)
    looked = net.add("Flatten", net.add("Gather", net.weights(1000, 8), "ids"))
    deep = net.dense(net.dense(net.add("Concat", looked, "x", axis=1), 42, 32, "Relu"), 32, 1)
    model = net.model(net.add("Add", deep, net.dense("x", 10, 1)), [("ids", ids, [4]), ("x", floats, [10])])
    found["wide_and_deep"] = (model, numpy.hstack([random.integers(0, 1000, (ROWS, 4)), random.normal(size=(ROWS, 10))]))
    net = Net(random)
    steps = net.add("Transpose", "x", perm=[1, 0, 2])
    shapes = [net.constant((random.normal(size=shape) / 6).astype(numpy.float32)) for shape in [(1, 128, 8), (1, 128, 32)]]
    _, last, _ = net.add("LSTM", steps, *shapes, outputs=3, hidden_size=32)
    last = net.add("Squeeze", last, net.constant(numpy.array([0])))
    found["lstm"] = (net.model(net.dense(last, 32, 1), [("x", floats, [20, 8])]), random.normal(size=(ROWS, 160)))
    net = Net(random)
    hidden = net.add("Relu", net.add("Conv", "x", net.weights(16, 4, 3), pads=[1, 1]))
    hidden = net.add("Relu", net.add("Conv", hidden, net.weights(16, 16, 3), pads=[1, 1]))
    hidden = net.add("Flatten", net.add("GlobalAveragePool", hidden))
    found["convolution"] = (net.model(net.dense(hidden, 16, 1), [("x", floats, [4, 32])]), random.normal(size=(ROWS, 128)))
    net = Net(random)
    layers = attention(net, attention(net, "x", 16, 32, 4), 16, 32, 4)
    pooled = net.add("ReduceMean", layers, net.constant(numpy.array([1])), keepdims=0)
    found["encoder"] = (net.model(net.dense(pooled, 32, 1), [("x", floats, [16, 32])]), random.normal(size=(ROWS, 512)))
    return found


def pin():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def score(model, rows, batch, scores):
    pin()
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    types = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64}
    sizes = [(given.name, types[given.type], given.shape[1:]) for given in session.get_inputs()]
    width = sum(numpy.prod(shape, dtype=int) for _, _, shape in sizes)
    x = numpy.fromfile(rows, dtype=numpy.float32).reshape(-1, width)

    def feed(part):
        found, at = {}, 0
        for name, dtype, shape in sizes:
            count = numpy.prod(shape, dtype=int)
            found[name] = numpy.ascontiguousarray(part[:, at : at + count], dtype=dtype).reshape(-1, *shape)
            at += count
        return found

    result = [output.name for output in session.get_outputs()][-1]
    run = lambda part: session.run([result], part)[0]
    run(feed(x))[:, -1].astype(numpy.float64).tofile(scores)
    parts = [feed(x[at : at + batch]) for at in range(0, len(x) - batch + 1, batch)][:512]
    count, begin = 0, time.process_time()
    while True:
        run(parts[count // batch % len(parts)])
        count += batch
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
