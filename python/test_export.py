"""What `save` writes is what riverrun reads. Run by hand: pip install numpy onnx onnxruntime pandas pytest."""

import io
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
    with pytest.raises(ValueError, match="no score 'probability OF spam'.*here ..value.."):
        save(doubler(), tmp_path / "m.onnx", rows=ROWS, output="probability OF spam")


def test_a_column_too_many_is_refused(tmp_path):
    with pytest.raises(ValueError, match="3 columns, expected 2"):
        save(doubler(), tmp_path / "m.onnx", rows=ROWS.assign(more=1.0), output="value")


TWO = [[1.0, 10.0], [2.0, None]]


@pytest.mark.parametrize(
    "rows, names",
    [
        (pandas.DataFrame(TWO, columns=["amount", "age"]), None),
        (pandas.DataFrame({"amount": [1, 2], "age": [10, None]}, dtype="Int64"), None),
        ({"amount": [1.0, 2.0], "age": numpy.array([10.0, numpy.nan])}, None),
        (numpy.array(TWO, dtype="float32"), ["amount", "age"]),
        (TWO, ["amount", "age"]),
    ],
    ids=["frame", "frame with NA", "dict", "array", "lists"],
)
def test_rows_of_every_shape_give_the_same_samples(rows, names, tmp_path):
    save(doubler(), tmp_path / "models" / "m.onnx", rows, "value", names=names)
    found = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "models/m.onnx").metadata_props}
    assert found["riverrun.inputs"] == ["amount", "age"]
    assert found["riverrun.samples"]["scores"] == [22.0, None]
    assert found["riverrun.samples"]["rows"] == TWO


def test_a_model_may_come_as_whatever_an_exporter_gives(tmp_path):
    class Program:
        model_proto = doubler()

    onnx.save(doubler(), tmp_path / "given.onnx")
    data = doubler().SerializeToString()
    forms = [doubler(), data, bytearray(data), io.BytesIO(data), tmp_path / "given.onnx", str(tmp_path / "given.onnx")]
    for at, model in enumerate([*forms, Program(), (doubler(), None)]):
        save(model, tmp_path / f"{at}.onnx", ROWS, "value")
        assert len(onnx.load(tmp_path / f"{at}.onnx").metadata_props) == 3


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(model=object()), "the model is a builtins.object, expected what an exporter gives"),
        (dict(rows=numpy.zeros((2, 2))), "rows are a ndarray, expected a DataFrame"),
        (dict(rows={"amount": [1.0], "age": [pandas.Timestamp("2026-01-01")]}), "column 'age' has a Timestamp"),
    ],
)
def test_what_cannot_be_used_is_named(change, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        save(**{"model": doubler(), "path": tmp_path / "m.onnx", "rows": ROWS, "output": "value", **change})


def test_names_that_are_not_as_many_as_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match="1 names, expected 2"):
        save(doubler(), tmp_path / "m.onnx", numpy.zeros((2, 2)), "value", names=["amount"])
