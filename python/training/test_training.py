"""Every framework that is installed trains on made-up rows, exports, and gets its metadata; frameworks that
are not installed are skipped by name.

    python -m pytest test_training.py
"""

import importlib
import json
import pathlib
import re
import sys

import numpy
import onnx
import pandas
import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent.parent)]

from riverrun import save

FRAMEWORKS = ["catboost", "keras", "lightgbm", "pytorch", "scikit_learn", "xgboost"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_trains_and_exports(framework, tmp_path):
    try:
        module = importlib.import_module(f"{framework}_model")
    except ImportError as missing:
        pytest.skip(f"{framework}: {missing}")
    random = numpy.random.default_rng(1)
    features = pandas.DataFrame(random.normal(size=(500, 3)), columns=["amount", "age", "share"])
    label = pandas.Series((features["amount"] > features["age"]).astype(int))
    if framework == "scikit_learn":
        features["country"] = numpy.array(["de", "fr"])[random.integers(0, 2, 500)]
    features.loc[::7, "share"] = numpy.nan
    model, output, predict = module.train(features, label)
    save(model, tmp_path / "m.onnx", rows=features[:20], output=output, predicted=predict(features[:20]))
    samples = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "m.onnx").metadata_props if entry.key == "riverrun.samples"}
    assert None not in samples["riverrun.samples"]["scores"], "rows with a missing value are scored"
    keys = {entry.key for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert {"riverrun.inputs", "riverrun.samples", "riverrun.quantiles"} <= keys


PAGE = pathlib.Path(__file__).parents[2] / "docs/models.md"
CALLS = {code.split("\n")[0][2:].split(":")[0]: code for code in re.findall(r"```python\n(# .*?)```", PAGE.read_text(), re.S)}


def trained(framework, features, label):
    """What the calls of the page begin with, where it is not theirs to make."""
    if framework.startswith("scikit-learn"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.compose import make_column_transformer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        columns = make_column_transformer((StandardScaler(), list(features.columns)))
        return {"pipeline": make_pipeline(columns, LogisticRegression()).fit(features, label)}
    if framework.startswith("Keras"):
        from tensorflow import keras

        return {"net": keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])}
    if framework.startswith("PyTorch"):
        from torch import nn

        return {"net": nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())}
    return {}


@pytest.mark.parametrize("framework", CALLS)
def test_the_calls_that_the_page_shows_run(framework, tmp_path, monkeypatch):
    random = numpy.random.default_rng(1)
    features = pandas.DataFrame(random.normal(size=(300, 3)), columns=["amount", "age", "share"])
    label = pandas.Series((features["amount"] > features["age"]).astype(int))
    monkeypatch.chdir(tmp_path)
    scope = {"features": features, "label": label, "width": 3, "save": save}
    try:
        scope |= trained(framework, features, label)
        exec(CALLS[framework], scope)
    except ImportError as missing:
        pytest.skip(f"{framework}: {missing}")
    keys = {entry.key for entry in onnx.load("models/spam.onnx").metadata_props}
    assert {"riverrun.inputs", "riverrun.samples", "riverrun.quantiles"} <= keys
