"""Makes the fixtures of this folder: the cases that onnx.backend.test generates, and random graphs with onnxruntime's
answers for the operators of ai.onnx.ml, for which there are no cases.

    python -m venv venv && venv/bin/pip install numpy onnx==1.23.2 onnxruntime==1.32.0
    PYTHONHASHSEED=0 venv/bin/python make.py

Models and tensors are protobuf in base 64.
"""

import base64
import json
import re

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

# Cases that need what a scorer has no use for, by name, each with the reason.
LEFT_OUT = {
    r"_expanded": "the operator written out with others, which have cases of their own",
    r"float16|bfloat16|float8|float4|int4|uint|int8|int16|int2": "element types that no column has",
    r"cast_.*(STRING|FLOAT16|BFLOAT16|FLOAT8|FLOAT4|INT4|UINT|INT2)": "element types that no column has",
    r"training|dropout": "operators as they are in training",
    r"optional|sequence|if_|loop_|scan_": "values that are no tensors",
}
OPERATORS = re.findall(r'^    \("(\w+)", ', open("../../src/operators/mod.rs").read(), re.M)
RNG = np.random.default_rng(5)


def packed(message):
    return base64.b64encode(message.SerializeToString()).decode()


def tensor(array, name=""):
    return packed(numpy_helper.from_array(np.asarray(array), name))


def cases():
    found, left = [], []
    for case in collect_testcases(None):
        nodes = case.model.graph.node
        if any(node.op_type not in OPERATORS for node in nodes):
            continue
        name = case.name.removeprefix("test_")
        reason = next((why for pattern, why in LEFT_OUT.items() if re.search(pattern, case.name)), None)
        if reason:
            left.append([name, reason])
            continue
        inputs, outputs = case.data_sets[0]
        if not all(isinstance(value, (np.ndarray, np.generic)) for value in [*inputs, *outputs]):
            left.append([name, "values that are no tensors"])
            continue
        if sum(np.asarray(value).size for value in [*inputs, *outputs]) > 5000:
            left.append([name, "as another case, only larger"])
            continue
        names = [given.name for given in case.model.graph.input]
        pairs = [tensor(value, given) for given, value in zip(names, inputs)]
        entry = {"name": name, "model": packed(case.model), "inputs": pairs, "outputs": [tensor(x) for x in outputs]}
        found.append({**entry, "tolerance": max(case.rtol, 1e-5)})
    return found, left


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def listed(array):
    return [float(x) for x in np.asarray(array).reshape(-1)]


def random_linear():
    features, classes = int(RNG.integers(1, 6)), int(RNG.integers(2, 5))
    transform = str(RNG.choice(["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]))
    sums = 1 if classes == 2 and RNG.random() < 0.5 else classes
    if sums == 1 and transform.startswith("SOFTMAX"):
        transform = "LOGISTIC"
    attributes = dict(coefficients=listed(floats(sums, features)), intercepts=listed(floats(sums)))
    labels = dict(classlabels_ints=list(range(10, 10 + classes)))
    if RNG.random() < 0.5:
        labels = dict(classlabels_strings=[f"c{at}" for at in range(classes)])
    return "LinearClassifier", {**attributes, **labels, "post_transform": transform}, floats(40, features), 2


def random_linear_regressor():
    features, targets = int(RNG.integers(1, 6)), int(RNG.integers(1, 4))
    attributes = dict(coefficients=listed(floats(targets, features)), targets=targets)
    if RNG.random() < 0.5:
        attributes["intercepts"] = listed(floats(targets))
    return "LinearRegressor", attributes, floats(40, features), 1


def kernel():
    kind = str(RNG.choice(["LINEAR", "POLY", "RBF", "SIGMOID"]))
    return dict(kernel_type=kind, kernel_params=[0.3, 0.5, float(RNG.integers(2, 5))])


def random_svm():
    features, classes = int(RNG.integers(1, 5)), int(RNG.integers(2, 5))
    counts = [int(RNG.integers(1, 4)) for _ in range(classes)]
    vectors, pairs = sum(counts), classes * (classes - 1) // 2
    attributes = dict(
        vectors_per_class=counts,
        support_vectors=listed(floats(vectors, features)),
        coefficients=listed(floats(classes - 1, vectors)),
        rho=listed(floats(pairs)),
        classlabels_ints=list(range(classes)),
        post_transform=str(RNG.choice(["NONE", "LOGISTIC", "SOFTMAX"])),
    )
    if RNG.random() < 0.5:
        attributes |= dict(prob_a=listed(-np.abs(floats(pairs))), prob_b=listed(floats(pairs)), post_transform="NONE")
    return "SVMClassifier", attributes | kernel(), floats(40, features), 2


def random_svm_regressor():
    features, vectors = int(RNG.integers(1, 5)), int(RNG.integers(0, 5))
    attributes = dict(
        n_supports=vectors,
        coefficients=listed(floats(vectors or features)),
        rho=listed(floats(1)),
        one_class=int(RNG.random() < 0.3),
    )
    if vectors:
        attributes["support_vectors"] = listed(floats(vectors, features))
    return "SVMRegressor", attributes | kernel(), floats(40, features), 1


def random_scaler():
    features = int(RNG.integers(1, 6))
    width = features if RNG.random() < 0.7 else 1
    return "Scaler", dict(offset=listed(floats(width)), scale=listed(floats(width))), floats(40, features), 1


def random_normalizer():
    x = floats(40, int(RNG.integers(1, 6)))
    x[:3] = 0
    return "Normalizer", dict(norm=str(RNG.choice(["MAX", "L1", "L2"]))), x, 1


def random_imputer():
    x = floats(40, int(RNG.integers(1, 6)))
    x[RNG.random(x.shape) < 0.3] = np.nan
    width = x.shape[1] if RNG.random() < 0.7 else 1
    return "Imputer", dict(imputed_value_floats=listed(floats(width)), replaced_value_float=float("nan")), x, 1


def random_binarizer():
    return "Binarizer", dict(threshold=float(floats(1)[0])), floats(40, int(RNG.integers(1, 6))), 1


def random_one_hot():
    if RNG.random() < 0.5:
        return "OneHotEncoder", dict(cats_int64s=[3, 1, 7], zeros=1), RNG.integers(0, 9, (40, 2)), 1
    x = np.array(["a", "b", "c", ""], dtype=object)[RNG.integers(0, 4, (40, 2))]
    return "OneHotEncoder", dict(cats_strings=["b", "a"], zeros=1), x, 1


def random_label_encoder():
    texts = np.array(["a", "b", "c", ""], dtype=object)[RNG.integers(0, 4, (40, 1))]
    kinds = [
        (dict(keys_strings=["a", "b"], values_int64s=[5, 6], default_int64=-7), texts),
        (dict(keys_strings=["c", "b"], values_floats=[0.5, 1.5], default_float=2.5), texts),
        (dict(keys_int64s=[1, 2, 3], values_floats=[0.5, 1.5, 2.5], default_float=-1.0), RNG.integers(0, 6, (40, 1))),
        (dict(keys_int64s=[1, 2, 3], values_strings=["x", "y", "z"], default_string="w"), RNG.integers(0, 6, (40, 1))),
        (dict(keys_floats=[1.0, 2.0], values_int64s=[10, 20]), RNG.integers(0, 4, (40, 1)).astype(np.float32)),
        (dict(keys_floats=[1.0, np.nan], values_floats=[10.0, 20.0]), np.array([[1.0], [np.nan], [3.0]], np.float32)),
    ]
    attributes, x = kinds[RNG.integers(0, len(kinds))]
    return "LabelEncoder", attributes, x, 1


def random_extractor():
    x = floats(40, 5)
    return "ArrayFeatureExtractor", {"indices": RNG.integers(0, 5, int(RNG.integers(1, 5)))}, x, 1


def random_tree():
    """One tree with two branches, of any comparison, with any votes."""
    features, classes = 3, int(RNG.integers(0, 4))
    classes = 0 if classes == 1 else classes
    modes = ["BRANCH_LT", "BRANCH_LEQ", "BRANCH_GT", "BRANCH_GTE", "BRANCH_EQ", "BRANCH_NEQ"]
    nodes, votes = [], []
    targets = classes or int(RNG.integers(1, 3))
    # Every target has a tree: onnxruntime leaves the base value of one without a vote out.
    trees = targets + int(RNG.integers(0, 4))
    for tree in range(trees):
        for node in range(5):
            branch = node < 2
            mode = str(RNG.choice(modes)) if branch else "LEAF"
            threshold = float(RNG.choice([0.0, 0.5, -0.5, 1.0])) if branch else 0.0
            children = {0: (1, 2), 1: (3, 4)}.get(node, (0, 0))
            feature = int(RNG.integers(0, features)) if branch else 0
            nodes.append((tree, node, feature, mode, threshold, *children, int(RNG.integers(0, 2)) if branch else 0))
            if not branch:
                target = 0 if classes == 2 else tree % targets
                votes.append((tree, node, target, float(floats(1)[0])))
    keys = ["treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids"]
    keys.append("missing_value_tracks_true")
    attributes = {f"nodes_{key}": [node[at] for node in nodes] for at, key in enumerate(keys)}
    side = "class" if classes else "target"
    for at, key in enumerate(["treeids", "nodeids", "ids", "weights"]):
        attributes[f"{side}_{key}"] = [vote[at] for vote in votes]
    if classes:
        transforms = ["NONE", "LOGISTIC"] if classes == 2 else ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
        attributes |= dict(classlabels_int64s=list(range(classes)), post_transform=str(RNG.choice(transforms)))
    else:
        attributes |= dict(n_targets=targets, aggregate_function=str(RNG.choice(["SUM", "AVERAGE", "MIN", "MAX"])))
    if RNG.random() < 0.4 and classes != 2:
        attributes["base_values"] = listed(floats(targets))
    x = RNG.choice([0.0, 0.5, -0.5, 1.0, 0.25, np.nan, np.inf, -np.inf], size=(60, features)).astype(np.float32)
    name = "TreeEnsembleClassifier" if classes else "TreeEnsembleRegressor"
    return name, attributes, x, 2 if classes else 1


def random_tree_ensemble():
    """Trees of two branches each in the form of ai.onnx.ml 5, some of which branch by a set of values."""
    features, targets, trees = 3, int(RNG.integers(1, 4)), int(RNG.integers(1, 5))
    modes, sets, weights, ids = [], [], [], []
    for tree in range(trees):
        for _ in range(2):
            modes.append(int(RNG.integers(0, 7)))
            if modes[-1] == 6:
                values = RNG.choice([1.0, 2.0, 3.0, 4.0, 5.0], size=int(RNG.integers(1, 4)), replace=False)
                sets.extend([*map(float, values), float("nan")])
        weights.extend(listed(floats(3)))
        ids.extend(int(target) for target in RNG.integers(0, targets, 3))
    roots = list(range(0, 2 * trees, 2))
    # The first branch of a tree has a leaf and the second branch, the second has two leaves.
    attributes = dict(
        n_targets=targets,
        aggregate_function=int(RNG.integers(0, 4)),
        post_transform=0,
        tree_roots=roots,
        nodes_modes=numpy_helper.from_array(np.array(modes, np.uint8), "modes"),
        nodes_featureids=[int(feature) for feature in RNG.integers(0, features, 2 * trees)],
        nodes_splits=numpy_helper.from_array(RNG.choice([1.0, 2.0, 3.0], 2 * trees).astype(np.float32), "splits"),
        nodes_truenodeids=[id for tree in range(trees) for id in (3 * tree, 3 * tree + 1)],
        nodes_trueleafs=[1, 1] * trees,
        nodes_falsenodeids=[id for tree in range(trees) for id in (2 * tree + 1, 3 * tree + 2)],
        nodes_falseleafs=[0, 1] * trees,
        nodes_missing_value_tracks_true=[int(tracks) for tracks in RNG.integers(0, 2, 2 * trees)],
        leaf_targetids=ids,
        leaf_weights=numpy_helper.from_array(np.array(weights, np.float32), "weights"),
    )
    if sets:
        attributes["membership_values"] = numpy_helper.from_array(np.array(sets, np.float32), "sets")
    x = RNG.choice([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 2.5, np.nan, np.inf, -np.inf], size=(60, features))
    return "TreeEnsemble", attributes, x.astype(np.float32), 1


def random_tf_idf():
    """Rows of one to three words, perhaps with others between them, of texts or of integers."""
    words = ["a", "b", "c", "d"] if RNG.random() < 0.5 else [1, 2, 3, 4]
    longest = int(RNG.integers(1, 4))
    counts, pool, grams = [], [], 0
    for length in range(1, longest + 1):
        counts.append(len(pool))
        rows = {tuple(int(at) for at in RNG.integers(0, 3, length)) for _ in range(int(RNG.integers(1, 5)))}
        grams += len(rows)
        pool.extend(words[at] for row in sorted(rows) for at in row)
    indexes = [int(at) for at in RNG.permutation(grams)]
    mode = str(RNG.choice(["TF", "IDF", "TFIDF"]))
    weights = [0.5] * grams
    if RNG.random() < 0.5:
        indexes, weights = list(range(grams)), listed(RNG.random(grams).astype(np.float32))
    side = "pool_strings" if words[0] == "a" else "pool_int64s"
    attributes = dict(mode=mode, ngram_counts=counts, ngram_indexes=indexes, weights=weights, max_gram_length=longest)
    attributes |= dict(min_gram_length=int(RNG.integers(1, longest + 1)), max_skip_count=int(RNG.integers(0, 4)))
    x = np.array(words, dtype=object if words[0] == "a" else np.int64)[RNG.integers(0, 4, (40, int(RNG.integers(1, 9))))]
    return "TfIdfVectorizer", {**attributes, side: pool}, x, 1


def random_graphs():
    makers = [random_linear] * 40 + [random_linear_regressor] * 15 + [random_svm] * 40 + [random_svm_regressor] * 25
    makers += [random_scaler] * 10 + [random_normalizer] * 15 + [random_imputer] * 15 + [random_binarizer] * 5
    makers += [random_one_hot] * 10 + [random_label_encoder] * 30 + [random_extractor] * 10 + [random_tree] * 120
    makers += [random_tree_ensemble] * 40 + [random_tf_idf] * 60
    types = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "O": TensorProto.STRING}
    found = []
    for at, maker in enumerate(makers):
        op, attributes, x, outputs = maker()
        inputs, constants = ["x"], []
        if "indices" in attributes:
            constants = [numpy_helper.from_array(attributes.pop("indices"), "indices")]
            inputs.append("indices")
        names = ["y", "z"][:outputs]
        domain = "" if op == "TfIdfVectorizer" else "ai.onnx.ml"
        node = helper.make_node(op, inputs, names, domain=domain, **attributes)
        given = [helper.make_tensor_value_info("x", types[x.dtype.kind], [None, x.shape[1]])]
        loose = [helper.make_empty_tensor_value_info(name) for name in names]
        graph = helper.make_graph([node], "g", given, loose, constants)
        sets = [helper.make_opsetid("ai.onnx.ml", 5 if op == "TreeEnsemble" else 3), helper.make_opsetid("", 18)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers = session.run(None, {"x": x})
        outputs = [tensor(np.asarray(answer, dtype=object) if answer.dtype.kind in "OU" else answer) for answer in answers]
        entry = {"name": f"{at}_{op}", "model": packed(model), "inputs": [tensor(x, "x")], "outputs": outputs}
        found.append({**entry, "tolerance": 1e-5})
    return found


if __name__ == "__main__":
    standard, left = cases()
    with open("cases.json", "w") as file:
        json.dump({"cases": standard, "left_out": left}, file, indent=0)
    with open("random.json", "w") as file:
        json.dump({"cases": random_graphs(), "left_out": []}, file, indent=0)
    print(len(standard), "cases,", len(left), "left out")
