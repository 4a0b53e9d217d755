"""What `save` writes is what riverrun reads. Needs numpy, onnx, onnxruntime, pandas and pytest."""

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


def samples_of(path):
    return {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}


def test_rows_with_an_infinite_value_are_left_out_and_quantiles_stay_finite(tmp_path):
    rows = {"amount": [1.0, numpy.inf, None, 3.0], "age": [1.0, 1.0, 1.0, 1.0]}
    save(doubler(), tmp_path / "m.onnx", rows, "value")
    found = samples_of(tmp_path / "m.onnx")
    assert found["riverrun.samples"]["rows"] == [[1.0, 1.0], [None, 1.0], [3.0, 1.0]]
    save(doubler(), tmp_path / "m.onnx", {name: rows[name][:1] for name in rows}, "value", reference=rows)
    amount = samples_of(tmp_path / "m.onnx")["riverrun.quantiles"]["features"]["amount"]
    assert amount["quantiles"][-1] == 3.0 and amount["missing"] == 0.25
    with pytest.raises(ValueError, match="0 sample rows without an infinite value"):
        save(doubler(), tmp_path / "m.onnx", {"amount": [numpy.inf], "age": [1.0]}, "value")


def test_the_columns_of_the_reference_are_found_by_name(tmp_path):
    reference = pandas.DataFrame({"age": [100.0, 101.0], "amount": [1.0, 2.0], "other": [0.0, 0.0]})
    save(doubler(), tmp_path / "m.onnx", ROWS, "value", reference=reference)
    features = samples_of(tmp_path / "m.onnx")["riverrun.quantiles"]["features"]
    assert list(features) == ["amount", "age"] and features["age"]["quantiles"][0] == 100.0
    with pytest.raises(ValueError, match="reference has no column 'age', expected amount, age"):
        save(doubler(), tmp_path / "m.onnx", ROWS, "value", reference=reference.drop(columns="age"))


def classifier(name, labels):
    """Two classes over two features; no map names the scores."""
    attributes = {name: labels, "coefficients": [0.5, -0.25, 0.1, 0.3], "intercepts": [0.1, 0.2], "post_transform": "SOFTMAX"}
    node = helper.make_node("LinearClassifier", ["x"], ["label", "probabilities"], domain="ai.onnx.ml", **attributes)
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])]
    kind = TensorProto.INT64 if name.endswith("ints") else TensorProto.STRING
    results = [
        helper.make_tensor_value_info("label", kind, [None]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
    ]
    graph = helper.make_graph([node], "classifier", given, results)
    imports = [helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.mark.parametrize(
    "attribute, labels, second",
    [("classlabels_ints", [1, 0], "0"), ("classlabels_ints", [7, 1], "1"), ("classlabels_strings", ["ham", "spam"], "spam")],
)
def test_the_scores_of_a_class_are_found_by_its_name(attribute, labels, second, tmp_path):
    model = classifier(attribute, labels)
    save(model, tmp_path / "m.onnx", {"amount": [1.0], "age": [2.0]}, f"probability OF {second}")
    wanted = onnx_scores(model, [[1.0, 2.0]])[0][1]
    assert samples_of(tmp_path / "m.onnx")["riverrun.samples"]["scores"] == [pytest.approx(wanted)]


def onnx_scores(model, rows):
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["probabilities"], {"x": numpy.array(rows, dtype=numpy.float32)})[0]


def test_the_name_of_the_only_output_stands_for_the_value(tmp_path):
    save(doubler(), tmp_path / "m.onnx", ROWS, "y")
    assert samples_of(tmp_path / "m.onnx")["riverrun.samples"]["output"] == "value"


def test_a_file_that_scores_otherwise_than_the_model_is_not_written(tmp_path):
    rows = {"amount": [1.0, 2.0, 3.0], "age": [1.0, 1.0, numpy.inf]}
    save(doubler(), tmp_path / "m.onnx", rows, "value", predicted=[4.0, 6.0 + 1e-6, numpy.inf])
    with pytest.raises(ValueError, match="1 of 3 rows otherwise than the model: row 1 is 6.0, expected 6.1"):
        save(doubler(), tmp_path / "other.onnx", rows, "value", predicted=[4.0, 6.1, numpy.inf])
    with pytest.raises(ValueError, match="2 predicted scores, expected 3"):
        save(doubler(), tmp_path / "other.onnx", rows, "value", predicted=[4.0, 6.0])
    assert not (tmp_path / "other.onnx").exists()
