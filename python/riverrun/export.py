"""Writes riverrun's metadata into an ONNX model: the names of its inputs in order, sample rows with their scores, and
how each feature is distributed in the training data.

riverrun checks the names against the SQL, and scores the sample rows before a job starts: a file that scores otherwise
there than here is refused. Needs onnx and numpy, and onnxruntime for the scores.

    from riverrun import save

    rows = table.sample(20)
    save(model, "models/spam.onnx", rows, "probability OF 1", predicted=trained.predict_proba(rows)[:, 1])
"""

import json
import os

import numpy
import onnx

SAMPLE_ROWS_MAX = 10_000
TOLERANCE = 1e-5
QUANTILES = [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0]
KINDS = {
    onnx.TensorProto.FLOAT: numpy.float32,
    onnx.TensorProto.DOUBLE: numpy.float64,
    onnx.TensorProto.INT64: numpy.int64,
    onnx.TensorProto.INT32: numpy.int32,
    onnx.TensorProto.BOOL: numpy.bool_,
    onnx.TensorProto.STRING: object,
}


def save(model, path, rows, output, reference=None, names=None, predicted=None):
    """Writes a model with what riverrun checks, into one file.

    model: what an exporter gives: an onnx.ModelProto, its bytes, the path of a file, an io.BytesIO, torch's ONNXProgram,
        or the pair that tf2onnx gives.
    rows: sample rows: a DataFrame of pandas or polars, a pyarrow table, a dict of columns, or an array of numpy with
        `names`. The columns are the inputs in the model's order.
    output: what the pipeline asks for, as `riverrun model check` names it: "probability OF 1", "value", or the name of
        an output.
    reference: rows of the training data, by which `rows` is replaced when the quantiles are computed.
    names: the names of the columns, where `rows` has none.
    predicted: what the trained model itself gives for `rows`. Exporters have faults; a file that scores otherwise than
        that is not written.
    """
    proto = _proto(model)
    columns = _columns(rows, names)
    if not columns:
        raise ValueError("rows have no columns, expected one for each input of the model")
    if predicted is not None:
        _compare(_samples(proto, columns, output)["scores"], predicted)
    columns = _finite(columns)
    names = list(columns)
    count = len(next(iter(columns.values())))
    if count == 0 or count > SAMPLE_ROWS_MAX:
        raise ValueError(f"{count} sample rows without an infinite value, expected 1 to {SAMPLE_ROWS_MAX}")
    properties = {
        "riverrun.inputs": json.dumps(names),
        "riverrun.samples": json.dumps(_samples(proto, columns, output)),
        "riverrun.quantiles": json.dumps(_quantiles(columns if reference is None else _reference(reference, names))),
    }
    kept = {entry.key: entry.value for entry in proto.metadata_props if not entry.key.startswith("riverrun.")}
    onnx.helper.set_model_props(proto, {**kept, **properties})
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    onnx.save(proto, path)


def _proto(model):
    """A copy of the model, whatever an exporter gives it as, with all weights in it."""
    if isinstance(model, tuple) and model:
        model = model[0]
    model = getattr(model, "model_proto", model)
    if isinstance(model, onnx.ModelProto):
        return onnx.ModelProto.FromString(model.SerializeToString())
    if hasattr(model, "getvalue"):
        model = model.getvalue()
    if isinstance(model, (bytes, bytearray, memoryview)):
        return onnx.load_from_string(bytes(model))
    if isinstance(model, (str, os.PathLike)):
        return onnx.load(os.fspath(model))
    raise TypeError(
        f"the model is a {type(model).__module__}.{type(model).__qualname__}, expected what an exporter gives: an "
        "onnx.ModelProto, bytes or the path of a file. docs/models.md shows the call for each framework"
    )


def _columns(rows, names=None):
    """Columns by name, as lists in which None is a missing value."""
    if hasattr(rows, "to_pylist") and hasattr(rows, "column_names"):
        columns = {name: rows.column(name).to_pylist() for name in rows.column_names}
    elif isinstance(rows, dict):
        columns = {name: list(values) for name, values in rows.items()}
    elif hasattr(rows, "columns"):
        columns = {name: list(rows[name]) for name in rows.columns}
    elif hasattr(rows, "to_frame"):
        return _columns(rows.to_frame(), names)
    else:
        array = numpy.asarray(rows)
        if array.ndim != 2 or names is None:
            raise TypeError(
                f"rows are a {type(rows).__qualname__}, expected a DataFrame, a pyarrow table, a dict of columns, or an "
                'array [rows, columns] with names=["amount", "age"]'
            )
        columns = dict(enumerate(array.T.tolist()))
    if names is not None:
        if len(names) != len(columns):
            raise ValueError(f"{len(names)} names, expected {len(columns)} as the rows have columns")
        columns = dict(zip(names, columns.values()))
    return {str(name): [_plain(name, value) for value in values] for name, values in columns.items()}


def _compare(scores, predicted):
    """Refuses a file that does not score as the model did that it was made of."""
    predicted = numpy.asarray(predicted, dtype=float).reshape(-1)
    if len(predicted) != len(scores):
        raise ValueError(f"{len(predicted)} predicted scores, expected {len(scores)} as there are rows")
    wrong = []
    for at, (score, expected) in enumerate(zip(scores, predicted)):
        expected = expected if numpy.isfinite(expected) else None
        far = score != expected if None in (score, expected) else abs(score - expected) > TOLERANCE * max(1, abs(expected))
        if far:
            wrong.append((at, score, expected))
    if wrong:
        at, score, expected = wrong[0]
        raise ValueError(
            f"the exported file scores {len(wrong)} of {len(scores)} rows otherwise than the model: row {at} is {score}, "
            f"expected {expected}; docs/models.md says what exporters are known to get wrong"
        )


def _reference(rows, names):
    """The columns of the training data, found by name where they have names."""
    if hasattr(rows, "columns") or hasattr(rows, "column_names") or isinstance(rows, dict):
        columns = _columns(rows)
        missing = [name for name in names if name not in columns]
        if missing:
            raise ValueError(f"reference has no column {missing[0]!r}, expected {', '.join(names)}")
        return {name: columns[name] for name in names}
    return _columns(rows, names)


def _finite(columns):
    """The rows without an infinite value, which JSON does not have."""
    rows = [row for row in zip(*columns.values()) if all(map(_is_finite, row))]
    return dict(zip(columns, map(list, zip(*rows)))) if rows else {name: [] for name in columns}


def _is_finite(value):
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or numpy.isfinite(value)


def _rows(columns):
    return [list(row) for row in zip(*columns.values())]


def _plain(name, value):
    """A value as JSON has it; None where it is missing."""
    if isinstance(value, numpy.ndarray):
        return [_plain(name, each) for each in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [_plain(name, each) for each in value]
    if isinstance(value, numpy.generic):
        value = value.item()
    # pandas has missing values of its own: NA, NaT.
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and numpy.isnan(value)):
        return None
    if isinstance(value, (bool, int, float, str)):
        return value
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError(
        f"column {name!r} has a {type(value).__qualname__}, expected numbers, booleans, texts or lists of them: "
        "a time goes into a model as seconds, epoch(..) in SQL"
    )


def _quantiles(columns):
    """The quantiles of each numeric feature, and its share of missing values."""
    found = {}
    for name, values in columns.items():
        present = [float(value) for value in values if isinstance(value, (bool, int, float)) and _is_finite(value)]
        if present:
            missing = sum(value is None for value in values) / len(values)
            found[name] = {"quantiles": numpy.quantile(present, QUANTILES).tolist(), "missing": missing}
    return {"at": QUANTILES, "features": found}


def _feed(proto, columns):
    """The rows as onnxruntime takes them: one tensor with all columns, or one for each."""
    initializers = {tensor.name for tensor in proto.graph.initializer}
    given = [value for value in proto.graph.input if value.name not in initializers]
    names, feed, at = list(columns), {}, 0
    for value in given:
        tensor = value.type.tensor_type
        kind = KINDS.get(tensor.elem_type)
        if kind is None:
            taken = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
            raise ValueError(f"input {value.name!r} takes {taken}, expected float, double, int64, int32, bool or string")
        sizes = [dim.dim_value for dim in tensor.shape.dim[1:]]
        one_column = len(sizes) > 1 or len(given) == len(names)
        width = 1 if one_column or not sizes else sizes[0] or len(names)
        parts = [_array(columns[name], kind) for name in names[at : at + width]]
        at += width
        array = parts[0] if one_column else numpy.stack(parts, axis=1)
        feed[value.name] = array.reshape(len(array), *(size or -1 for size in sizes))
    if at != len(names) or len(feed) != len(given):
        raise ValueError(f"{len(names)} columns, expected {at} as the model has inputs")
    return feed


def _array(values, kind):
    if kind is object:
        return numpy.array(["" if value is None else value for value in values], dtype=object)
    if kind in (numpy.float32, numpy.float64):
        values = [numpy.nan if value is None else value for value in values]
    return numpy.array(values, dtype=kind)


def _samples(proto, columns, output):
    try:
        import onnxruntime
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError("save scores the sample rows with onnxruntime: pip install onnxruntime") from missing

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = _feed(proto, columns)
    answers = dict(zip([value.name for value in session.get_outputs()], session.run(None, feed)))
    numbers = [name for name, answer in answers.items() if not isinstance(answer, list) and answer.dtype.kind == "f"]
    if numbers == [output] and answers[output].size == len(answers[output]):
        # The only score of a graph is called so in SQL.
        output = "value"
    scores = _pick(answers, output, _classes(proto))
    scores = [float(score) if numpy.isfinite(score) else None for score in scores]
    return {"rows": _rows(columns), "scores": scores, "output": output}


def _classes(proto):
    """The names of the classes in the order of their scores, as far as a classifier of the graph names them."""
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels"):
                labels = [label.decode() for label in attribute.strings] or list(attribute.ints)
                if labels:
                    return [str(label) for label in labels]
    return None


def _pick(answers, output, classes):
    """The scores that an output of riverrun's name stands for."""
    label = output.removeprefix("probability OF ") if output.startswith("probability OF ") else None
    numbers = {}
    for name, answer in answers.items():
        if isinstance(answer, list):
            if label is not None and label in {str(key) for key in answer[0]}:
                return [next(value for key, value in row.items() if str(key) == label) for row in answer]
            continue
        answer = numpy.asarray(answer)
        if answer.dtype.kind == "f":
            numbers[name] = answer.reshape(len(answer), -1)
    if output in numbers and numbers[output].shape[1] == 1:
        return numbers[output][:, 0]
    if len(numbers) > 1 and label is not None:
        numbers = {name: answer for name, answer in numbers.items() if "prob" in name.lower()} or numbers
    if len(numbers) == 1:
        (matrix,) = numbers.values()
        if label is None:
            place = output.removeprefix("value").removeprefix(" OF").strip() or "0"
            if place.isdigit() and int(place) < matrix.shape[1]:
                return matrix[:, int(place)]
        elif classes is not None and len(classes) == matrix.shape[1] and label in classes:
            return matrix[:, classes.index(label)]
    raise ValueError(f"no score {output!r}; `riverrun model check` lists the outputs of a file, here {_named(answers, classes)}")


def _named(answers, classes):
    """The outputs as riverrun names them, as far as they are scores."""
    numbers = [numpy.asarray(answer) for answer in answers.values() if not isinstance(answer, list)]
    numbers = [answer.reshape(len(answer), -1) for answer in numbers if answer.dtype.kind == "f"]
    names = [f"probability OF {key}" for answer in answers.values() if isinstance(answer, list) for key in answer[0]]
    if len(numbers) == 1:
        width = numbers[0].shape[1]
        if classes is not None and len(classes) == width:
            names += [f"probability OF {name}" for name in classes]
        else:
            names += ["value"] if width == 1 else [f"value OF {at}" for at in range(width)]
    return names or list(answers)
