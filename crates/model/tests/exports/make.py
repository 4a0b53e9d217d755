"""Makes the fixtures of this folder: what the usual exporters write, and what onnxruntime answers for 1,000 rows.

    python -m venv venv && venv/bin/pip install numpy pandas onnx onnxruntime==1.32.0 scikit-learn==1.9.1 \
        xgboost-cpu==3.2.0 lightgbm catboost onnxmltools==1.16.0 skl2onnx==1.20.0
    localedef -i en_US -f UTF-8 locale/en_US.UTF-8
    LOCPATH=$PWD/locale PYTHONHASHSEED=0 venv/bin/python make.py

The locale is for onnxruntime, which changes the case of letters by it. Each fixture is NAME.onnx and NAME.scores: the columns of its outputs one after the other, 1,000 little-endian floats
each; a label is its place in the list of labels. `exports.json` tells for each the kinds of its inputs and the names of
its columns. Rows are not stored: `value` makes them from the fixture's seed, here and in the Rust test.
"""

import json
import sys
import warnings

import catboost
import lightgbm
import numpy as np
import onnx
import onnxruntime
import pandas
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as BoosterFloats
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    BayesianRidge,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Perceptron,
    PoissonRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

warnings.filterwarnings("ignore")
ROWS = 1000
WORDS = ["de", "fr", "us", "jp", "", "xx"]
PARTS = ["free", "Money", "meeting", "notes", "WIN", "now", "Tomorrow", "x", "caf\u00e9", "\u0130zmir", "42", "unheard_of"]
SIGNS = [" ", "  ", ", ", "! ", "-", ""]
EXTREMES = [np.inf, -np.inf, 1e30, -1e30, 3.4028235e38, 1e-40, -0.0, 0.0]
MASK = (1 << 64) - 1
VERSIONS = {"": 18, "ai.onnx.ml": 3}
RNG = np.random.default_rng(3)


def mix(number):
    """One of 2^64 numbers for each number: the finaliser of splitmix64."""
    number = (number + 0x9E3779B97F4A7C15) & MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & MASK
    return number ^ (number >> 31)


def value(kind, seed, row, column, columns):
    """The value of a cell; None is a missing value."""
    bits = mix((seed << 40) + (row << 16) + column)
    if kind == "word":
        return WORDS[bits % len(WORDS)]
    if kind == "known word":
        return WORDS[bits % 3]
    if kind == "sentence":
        drawn = [mix((bits + at) & MASK) for at in range(bits % 12)]
        return "".join(PARTS[each % len(PARTS)] + SIGNS[(each >> 32) % len(SIGNS)] for each in drawn)
    if kind == "count":
        return bits % 10
    if kind == "truth":
        return bits % 2 == 1
    odd = mix((seed << 40) + (row << 16) + 0xFFFF)
    if kind.startswith("list"):
        return [value("float", seed, row, column * 512 + at, columns) for at in range(int(kind.split()[1]))]
    if "extreme" in kind and odd % 16 == 0 and (odd >> 8) % columns == column:
        return EXTREMES[(odd >> 32) % len(EXTREMES)]
    if "missing" in kind and bits % 10 == 0:
        return None
    return ((bits >> 40) / (1 << 24) - 0.5) * 8.0


def table(kinds, seed):
    return [[value(kind, seed, row, at, len(kinds)) for at, kind in enumerate(kinds)] for row in range(ROWS)]


def feeds(model, kinds, rows):
    """The rows as onnxruntime takes them: one tensor, or one for each column."""
    types = {1: np.float32, 11: np.float64, 7: np.int64, 9: np.bool_, 8: np.object_}
    feed, at = {}, 0
    for given in model.graph.input:
        tensor = given.type.tensor_type
        sizes = [dim.dim_value for dim in tensor.shape.dim[1:]]
        width = sizes[0] if len(sizes) == 1 else 1
        dtype = types[tensor.elem_type]
        part = [[np.nan if cell is None else cell for cell in row[at : at + width]] for row in rows]
        feed[given.name] = np.array(part, dtype=dtype).reshape(len(rows), *sizes)
        at += width
    assert at == len(kinds)
    return feed


def columns_of(name, answer):
    """The columns of an output of onnxruntime: (name, floats, labels)."""
    if isinstance(answer, list):
        keys = list(answer[0].keys())
        return [(f"probability OF {key}", [row[key] for row in answer], None) for key in keys]
    answer = np.asarray(answer)
    if answer.dtype.kind in "OUiS":
        texts = [str(label) for label in answer.reshape(-1)]
        labels = sorted(set(texts))
        return [("label", [labels.index(text) for text in texts], labels)]
    matrix = answer.reshape(ROWS, -1)
    return [(name, matrix[:, at], None) for at in range(matrix.shape[1])]


class Fixtures:
    def __init__(self):
        self.index = []

    def add(self, name, exporter, kinds, model, tolerance=1e-5):
        model = model[0] if isinstance(model, tuple) else model
        model.graph.name = name
        if exporter == "skl2onnx" and model.graph.node[-1].op_type == "TreeEnsembleRegressor":
            # The exporter declares double for double inputs, which onnxruntime refuses: trees give floats.
            model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        seed = len(self.index) + 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers = session.run(None, feeds(model, kinds, table(kinds, seed)))
        names = [output.name for output in session.get_outputs()]
        columns = [column for name_, answer in zip(names, answers) for column in columns_of(name_, answer)]
        onnx.save(model, f"{name}.onnx")
        with open(f"{name}.scores", "wb") as file:
            for _, numbers, _ in columns:
                file.write(np.array(numbers, dtype="<f4").tobytes())
        columns = [{"name": name_, "labels": labels} for name_, _, labels in columns]
        entry = {"name": name, "exporter": exporter, "seed": seed, "tolerance": tolerance}
        self.index.append({**entry, "inputs": kinds, "columns": columns})

    def save(self):
        with open("exports.json", "w") as file:
            json.dump(self.index, file, indent=1)
            file.write("\n")


X = RNG.normal(size=(400, 5)).astype(np.float32)
Y = X[:, 0] * 1.5 + np.sin(2 * X[:, 1]) - X[:, 2] * X[:, 3]
POSITIVE = np.abs(Y) + 0.1
TWO = (Y > 0).astype(int)
THREE = np.digitize(Y, [-1, 1])
NAMES = np.array(["ham", "spam", "scam"])[THREE]
GAPS = np.where(RNG.random(X.shape) < 0.1, np.nan, X).astype(np.float32)
PLAIN, WILD, GAPPED = ["float"] * 5, ["float extreme"] * 5, ["float extreme missing"] * 5
TREES = dict(n_estimators=5, max_depth=4, random_state=0)


def scikit_learn(fixtures):
    def fit(name, model, target, kinds=WILD, x=X, **options):
        model = model.fit(x) if target is None else model.fit(x, target)
        fixtures.add(f"sk_{name}", "skl2onnx", kinds, to_onnx(model, x[:1], target_opset=VERSIONS, **options))

    fit("logistic", LogisticRegression(), TWO)
    fit("logistic_three", LogisticRegression(), THREE)
    fit("logistic_text", LogisticRegression(), NAMES)
    fit("logistic_matrix", LogisticRegression(), TWO, options={"zipmap": False})
    fit("logistic_columns", make_pipeline(StandardScaler(), LogisticRegression()), TWO, options={"zipmap": "columns"})
    fit("logistic_raw", LogisticRegression(), THREE, options={"raw_scores": True, "zipmap": False})
    fit("linear", LinearRegression(), Y)
    fit("lasso", Lasso(0.01), Y)
    fit("ridge_two_targets", Ridge(), np.c_[Y, POSITIVE])
    fit("ridge_classifier", RidgeClassifier(), THREE)
    fit("sgd_log", SGDClassifier(loss="log_loss", random_state=0), TWO)
    fit("sgd_hinge", SGDClassifier(random_state=0), THREE)
    fit("perceptron", Perceptron(), TWO)
    fit("linear_svc", LinearSVC(), THREE)
    fit("linear_svc_two", LinearSVC(), TWO)
    fit("linear_svr", LinearSVR(), Y)
    fit("svc", SVC(), TWO, PLAIN)
    fit("svc_probability", SVC(probability=True, random_state=0), THREE, PLAIN)
    fit("svc_poly", SVC(kernel="poly", probability=True, random_state=0), TWO, PLAIN)
    fit("svc_linear", SVC(kernel="linear"), THREE, PLAIN)
    fit("nu_svc_sigmoid", NuSVC(kernel="sigmoid", nu=0.1), THREE, PLAIN)
    fit("svr", SVR(), Y, PLAIN)
    fit("one_class_svm", OneClassSVM(), None, PLAIN)
    fit("tree", DecisionTreeClassifier(max_depth=4), TWO)
    fit("tree_text", DecisionTreeClassifier(max_depth=4), NAMES)
    fit("tree_regressor", DecisionTreeRegressor(max_depth=4), Y)
    fit("forest", RandomForestClassifier(**TREES), TWO)
    fit("forest_three", RandomForestClassifier(**TREES), THREE)
    fit("forest_regressor", RandomForestRegressor(**TREES), Y)
    fit("extra_trees", ExtraTreesClassifier(**TREES), THREE)
    fit("extra_trees_regressor", ExtraTreesRegressor(**TREES), Y)
    fit("boosting", GradientBoostingClassifier(n_estimators=6), TWO)
    fit("boosting_three", GradientBoostingClassifier(n_estimators=6), THREE)
    fit("boosting_regressor", GradientBoostingRegressor(n_estimators=6), Y)
    fit("forest_missing", RandomForestClassifier(**TREES), TWO, GAPPED, GAPS)
    fit("tree_missing", DecisionTreeRegressor(max_depth=5), Y, GAPPED, GAPS)
    fit("extra_trees_missing", ExtraTreesClassifier(**TREES), THREE, GAPPED, GAPS)
    fit("adaboost", AdaBoostClassifier(n_estimators=4), TWO)
    fit("adaboost_three", AdaBoostClassifier(n_estimators=4), THREE)
    fit("adaboost_regressor", AdaBoostRegressor(n_estimators=4, random_state=0), Y)
    fit("bagging", BaggingClassifier(DecisionTreeClassifier(max_depth=4), n_estimators=4, random_state=0), THREE)
    fit("bagging_regressor", BaggingRegressor(DecisionTreeRegressor(max_depth=4), n_estimators=3, random_state=0), Y)
    pair = [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))]
    fit("voting", VotingClassifier(pair, voting="soft", flatten_transform=False), THREE)
    fit("voting_hard", VotingClassifier(pair, flatten_transform=False), TWO)
    fit("stacking", StackingClassifier(pair), TWO)
    pair = [("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=3))]
    fit("voting_regressor", VotingRegressor(pair), Y)
    fit("stacking_regressor", StackingRegressor(pair), Y)
    fit("calibrated", CalibratedClassifierCV(LinearSVC(), cv=2), TWO)
    fit("calibrated_three", CalibratedClassifierCV(LogisticRegression(), cv=2), THREE)
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    fit("calibrated_isotonic", CalibratedClassifierCV(tree, cv=2, method="isotonic"), TWO)
    fit("isolation_forest", IsolationForest(n_estimators=5, max_samples=32, random_state=0), None)
    fit("gaussian_bayes", GaussianNB(), THREE, PLAIN)
    fit("bernoulli_bayes", BernoulliNB(), THREE)
    fit("lda", LinearDiscriminantAnalysis(), THREE)
    fit("qda", QuadraticDiscriminantAnalysis(), THREE, PLAIN)
    fit("mlp", MLPClassifier((8,), max_iter=50, random_state=0), TWO)
    fit("mlp_tanh", MLPClassifier((8, 8), activation="tanh", max_iter=50, random_state=0), THREE)
    fit("mlp_regressor", MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0), Y)
    fit("k_means", KMeans(3, n_init=1, random_state=0), None, PLAIN)
    fit("mixture", GaussianMixture(2, random_state=0), None, PLAIN)
    fit("poisson", PoissonRegressor(), POSITIVE, PLAIN)
    fit("gamma", GammaRegressor(), POSITIVE, PLAIN)
    fit("tweedie", TweedieRegressor(power=1.5), POSITIVE, PLAIN)
    fit("bayesian_ridge", BayesianRidge(), Y)
    fit("huber", HuberRegressor(), Y)
    fit("ransac", RANSACRegressor(random_state=0), Y)
    fit("one_vs_rest", OneVsRestClassifier(LogisticRegression()), THREE)
    fit("one_vs_one", OneVsOneClassifier(LogisticRegression()), THREE)
    fit("multi_output", MultiOutputRegressor(Ridge()), np.c_[Y, POSITIVE])
    preparations = {
        "standard": (StandardScaler(), WILD),
        "min_max": (MinMaxScaler(clip=True), WILD),
        "max_abs": (MaxAbsScaler(), WILD),
        "robust": (RobustScaler(), WILD),
        "norm_l2": (Normalizer(), PLAIN),
        "norm_l1": (Normalizer("l1"), PLAIN),
        "norm_max": (Normalizer("max"), PLAIN),
        "impute_mean": (SimpleImputer(), GAPPED),
        "impute_constant": (SimpleImputer(strategy="constant", fill_value=-1), GAPPED),
        "binarize": (Binarizer(), WILD),
        "bins": (KBinsDiscretizer(3, encode="ordinal"), WILD),
        "polynomial": (PolynomialFeatures(2), PLAIN),
        "power": (PowerTransformer(), PLAIN),
        "quantile": (QuantileTransformer(n_quantiles=10), PLAIN),
        "select": (SelectKBest(k=3), WILD),
        "pca": (PCA(2), PLAIN),
    }
    for name, (preparation, kinds) in preparations.items():
        x = GAPS if kinds is GAPPED else X
        fit(f"pipe_{name}", make_pipeline(preparation, LogisticRegression()), TWO, kinds, x)
    doubles = X.astype(np.float64)
    fit("double_forest", RandomForestClassifier(**TREES), TWO, WILD, doubles)
    fit("double_tree", DecisionTreeRegressor(max_depth=4), Y, WILD, doubles)
    fit("double_boosting", GradientBoostingRegressor(n_estimators=4), Y, WILD, doubles)
    # ZipMap takes no doubles, in onnxruntime either.
    matrix = {"options": {"zipmap": False}}
    fit("double_logistic", LogisticRegression(), THREE, PLAIN, doubles, **matrix)
    fit("double_pipe", make_pipeline(StandardScaler(), LogisticRegression()), TWO, PLAIN, doubles, **matrix)


def mixed_columns(fixtures):
    """Pipelines over named columns of several types."""
    words = np.array(WORDS)
    frame = pandas.DataFrame(
        {
            "amount": X[:, 0],
            "age": X[:, 1],
            "country": words[RNG.integers(0, 4, len(X))],
            "plan": words[RNG.integers(0, 3, len(X))],
            "count": RNG.integers(0, 9, len(X)),
            "fresh": RNG.integers(0, 2, len(X)).astype(bool),
        }
    )
    kinds = {"amount": "float", "age": "float missing", "country": "word", "plan": "word", "count": "count"}
    types = {"float": FloatTensorType, "word": StringTensorType, "count": Int64TensorType, "truth": BooleanTensorType}
    kinds["fresh"] = "truth"

    def fit(name, parts, model, word="word"):
        used = [column for _, _, columns in parts for column in columns]
        pipeline = make_pipeline(ColumnTransformer(parts), model).fit(frame[used], TWO)
        types_ = [(column, types[kinds[column].split()[0]]([None, 1])) for column in used]
        exported = convert_sklearn(pipeline, name, types_, target_opset=VERSIONS)
        given = [word if kinds[column] == "word" else kinds[column] for column in used]
        fixtures.add(f"mixed_{name}", "skl2onnx", given, exported)

    one_hot = OneHotEncoder(handle_unknown="ignore")
    numbers, texts = ["amount", "age"], ["country", "plan"]
    fit("one_hot", [("n", StandardScaler(), numbers), ("c", one_hot, texts)], LogisticRegression())
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    parts = [("n", SimpleImputer(), numbers), ("c", encoder, texts)]
    fit("ordinal", parts, RandomForestClassifier(n_estimators=4, max_depth=3, random_state=0))
    fit("integers", [("n", StandardScaler(), [*numbers, "count"]), ("c", one_hot, texts)], LogisticRegression())
    fit("integer_one_hot", [("n", StandardScaler(), numbers), ("c", one_hot, ["country", "count"])], LogisticRegression())
    model = GradientBoostingClassifier(n_estimators=4, random_state=0)
    first = OneHotEncoder(drop="first", handle_unknown="error")
    fit("drop_first", [("n", MinMaxScaler(), numbers), ("c", first, texts)], model, "known word")
    fit("target", [("n", StandardScaler(), numbers), ("c", TargetEncoder(random_state=0), texts)], LogisticRegression())
    rare = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=120)
    fit("infrequent", [("n", StandardScaler(), numbers), ("c", rare, texts)], LogisticRegression(), "known word")
    fit("passthrough", [("n", "passthrough", numbers), ("c", one_hot, texts)], LogisticRegression())
    fit("booleans", [("n", "passthrough", ["amount", "fresh"]), ("c", one_hot, texts)], LogisticRegression())


def xgboost_models(fixtures):
    def fit(name, model, target, tolerance=1e-6, x=GAPS):
        exported = convert_xgboost(model.fit(x, target), initial_types=[("x", BoosterFloats([None, 5]))], target_opset=15)
        fixtures.add(f"xgboost_{name}", "onnxmltools", GAPPED, exported, tolerance)

    few = dict(n_estimators=6, max_depth=3, n_jobs=1)
    fit("binary", xgboost.XGBClassifier(**few), TWO)
    fit("three", xgboost.XGBClassifier(**few), THREE)
    fit("softmax", xgboost.XGBClassifier(objective="multi:softmax", **few), THREE)
    fit("regression", xgboost.XGBRegressor(**few), Y)
    for objective in ["count:poisson", "reg:gamma", "reg:tweedie", "reg:absoluteerror"]:
        fit(objective.split(":")[1], xgboost.XGBRegressor(objective=objective, **few), POSITIVE)
    fit("logistic", xgboost.XGBRegressor(objective="reg:logistic", **few), TWO)
    fit("hinge", xgboost.XGBClassifier(objective="binary:hinge", **few), TWO)
    fit("forest", xgboost.XGBRFClassifier(**few), TWO)
    fit("forest_regression", xgboost.XGBRFRegressor(**few), Y)
    broken = xgboost.XGBRegressor(**few).fit(GAPS, np.c_[Y, POSITIVE])
    broken = convert_xgboost(broken, initial_types=[("x", BoosterFloats([None, 5]))], target_opset=15)
    onnx.save(broken, "refused/xgboost_two_targets.onnx")


def lightgbm_models(fixtures):
    def fit(name, model, target, x=GAPS, fitting={}, **options):
        model = model.fit(x, target, **fitting)
        types = [("x", BoosterFloats([None, 5]))]
        exported = convert_lightgbm(model, initial_types=types, target_opset=15, **options)
        fixtures.add(f"lightgbm_{name}", "onnxmltools", GAPPED, exported, 1e-6)

    few = dict(n_estimators=6, num_leaves=7, verbose=-1, n_jobs=1)
    fit("binary", lightgbm.LGBMClassifier(**few), TWO)
    fit("binary_matrix", lightgbm.LGBMClassifier(**few), TWO, zipmap=False)
    fit("three", lightgbm.LGBMClassifier(**few), THREE, zipmap=False)
    fit("regression", lightgbm.LGBMRegressor(**few), Y)
    for objective in ["poisson", "gamma", "tweedie", "quantile"]:
        fit(objective, lightgbm.LGBMRegressor(objective=objective, **few), POSITIVE)
    bagged = dict(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, **few)
    fit("forest", lightgbm.LGBMClassifier(**bagged), TWO, zipmap=False)
    fit("forest_regression", lightgbm.LGBMRegressor(**bagged), Y)
    fit("split", lightgbm.LGBMRegressor(**few), Y, split=2)
    fit("dart", lightgbm.LGBMClassifier(boosting_type="dart", **few), TWO)
    fit("one_vs_all", lightgbm.LGBMClassifier(objective="multiclassova", **few), THREE, zipmap=False)
    coded = X.copy()
    coded[:, 0] = RNG.integers(0, 8, len(coded))
    model = lightgbm.LGBMClassifier(min_data_per_group=5, cat_smooth=1, **few)
    fit("categories", model, TWO, coded, {"categorical_feature": [0]})


def catboost_models(fixtures):
    def fit(name, model, target):
        model.fit(GAPS, target)
        model.save_model("/tmp/catboost.onnx", format="onnx")
        fixtures.add(f"catboost_{name}", "catboost", GAPPED, onnx.load("/tmp/catboost.onnx"), 1e-6)

    few = dict(iterations=6, depth=3, verbose=0, allow_writing_files=False)
    fit("binary", catboost.CatBoostClassifier(**few), TWO)
    fit("binary_text", catboost.CatBoostClassifier(**few), np.array(["no", "yes"])[TWO])
    fit("three", catboost.CatBoostClassifier(**few), THREE)
    fit("three_text", catboost.CatBoostClassifier(**few), NAMES)
    fit("one_vs_all", catboost.CatBoostClassifier(loss_function="MultiClassOneVsAll", **few), THREE)
    fit("regression", catboost.CatBoostRegressor(**few), Y)
    fit("poisson", catboost.CatBoostRegressor(loss_function="Poisson", **few), POSITIVE)


def text_pipelines(fixtures):
    """Words of texts, counted and weighed, alone and beside numbers."""
    known = [part for part in PARTS if part not in ("x", "unheard_of", "\u0130zmir")]
    draw = lambda: " ".join(known[at] for at in RNG.integers(0, len(known), 1 + RNG.integers(0, 9)))
    mails = np.array([draw() for _ in range(400)], dtype=object)
    spam = np.array(["free" in mail or "WIN" in mail for mail in mails]).astype(int)
    frame = pandas.DataFrame({"mail": mails, "amount": X[:, 0], "age": X[:, 1]})

    def fit(name, words, model, options=None, kinds=["sentence"], types=[("mail", StringTensorType([None, 1]))]):
        if len(kinds) > 1:
            parts = [("n", StandardScaler(), ["amount", "age"]), ("t", words, "mail")]
            pipeline = make_pipeline(ColumnTransformer(parts, sparse_threshold=0), model).fit(frame, spam)
        else:
            pipeline = make_pipeline(words, model).fit(mails, spam)
        options = {id(words): options} if options else None
        if len(kinds) > 1 and options:
            options = {type(words): next(iter(options.values()))}
        exported = convert_sklearn(pipeline, name, types, target_opset=VERSIONS, options=options)
        fixtures.add(f"text_{name}", "skl2onnx", kinds, exported)

    linear = LogisticRegression()
    fit("tf_idf", TfidfVectorizer(), linear)
    fit("counts", CountVectorizer(), MultinomialNB())
    fit("case", CountVectorizer(lowercase=False), linear)
    fit("pairs", TfidfVectorizer(ngram_range=(1, 2)), linear)
    fit("pairs_alone", CountVectorizer(ngram_range=(2, 2)), linear)
    fit("sublinear", TfidfVectorizer(sublinear_tf=True, norm="l1"), linear)
    fit("present", CountVectorizer(token_pattern="[a-z0-9]+"), RandomForestClassifier(**TREES))
    separators = {"separators": [" ", "[.]", "\\?", ",", ";", ":", "!", "-"]}
    fit("separators", TfidfVectorizer(token_pattern="[^ .?,;:!-]+"), linear, separators)
    numbers = [("mail", StringTensorType([None, 1])), ("amount", FloatTensorType([None, 1])), ("age", FloatTensorType([None, 1]))]
    fit("mixed", TfidfVectorizer(), linear, None, ["sentence", "float", "float missing"], numbers)


def neural_nets(fixtures):
    """What PyTorch exported; `torch_models.py` made the files."""
    kinds = {"lstm": ["list 24"], "gru": ["list 24"], "encoder": ["list 24"], "conv": ["list 36"]}
    kinds |= {"wide": ["count"] * 3 + ["float"] * 4, "mlp": PLAIN, "gelu": PLAIN}
    for name, given in kinds.items():
        fixtures.add(f"torch_{name}", "pytorch", given, onnx.load(f"torch/{name}.onnx"))
    # Weights in a file of their own, as the exporter of PyTorch 2 writes them for large nets.
    apart = dict(save_as_external_data=True, location="torch_mlp.onnx.data", size_threshold=0)
    onnx.save(onnx.load("torch_mlp.onnx"), "external/torch_mlp.onnx", **apart)


if __name__ == "__main__":
    made = Fixtures()
    for make in [scikit_learn, mixed_columns, xgboost_models, lightgbm_models, catboost_models, neural_nets, text_pipelines]:
        make(made)
    made.save()
    print(len(made.index), "fixtures", file=sys.stderr)
