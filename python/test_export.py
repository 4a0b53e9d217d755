"""What `save` writes is what riverrun reads. Run by hand: pip install numpy onnx onnxruntime pandas pytest."""

import json

import numpy
import onnx
import pandas
import pytest
from onnx import TensorProto, helper

from riverrun import save


def doubler():
    """Twice the sum of two features."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [2.0, 2.0])
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])]
    results = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph([node], "doubler", given, results, [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


ROWS = pandas.DataFrame({"amount": [1.0, 2.0, numpy.nan], "age": [10.0, 20.0, 30.0]})


def test_names_samples_and_quantiles_are_written(tmp_path):
    save(doubler(), tmp_path / "m.onnx", rows=ROWS, output="value")
    found = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert found["riverrun.inputs"] == ["amount", "age"]
    samples = {"rows": [[1.0, 10.0], [2.0, 20.0], [None, 30.0]], "scores": [22.0, 44.0, None], "output": "value"}
    assert found["riverrun.samples"] == samples
    assert found["riverrun.quantiles"]["features"]["amount"]["missing"] == pytest.approx(1 / 3)


def test_an_output_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no output 'probability OF spam'"):
        save(doubler(), tmp_path / "m.onnx", rows=ROWS, output="probability OF spam")


def test_a_column_too_many_is_refused(tmp_path):
    with pytest.raises(ValueError, match="3 columns, expected 2"):
        save(doubler(), tmp_path / "m.onnx", rows=ROWS.assign(more=1.0), output="value")
