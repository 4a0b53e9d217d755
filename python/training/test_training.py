"""Every framework that is installed trains on made-up rows, exports, and gets its metadata. Run by hand; frameworks that
are not installed are skipped by name.

    python -m pytest test_training.py
"""

import importlib
import pathlib
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
    model, output = module.train(features, label)
    save(model, tmp_path / "m.onnx", rows=features[:20], output=output)
    keys = {entry.key for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert {"riverrun.inputs", "riverrun.samples", "riverrun.quantiles"} <= keys
