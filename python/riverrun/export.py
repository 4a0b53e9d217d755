"""Writes riverrun's metadata into an ONNX model: the names of its inputs in order, sample rows with their scores, and
how each feature is distributed in the training data.

riverrun checks the names against the SQL, and scores the sample rows before a job starts: a model that scores otherwise
than it did in training is refused. Needs onnx and numpy, and onnxruntime for the scores.

    from riverrun import save

    save(model, "models/spam.onnx", table.sample(20), "probability OF 1")
"""

import json
import os

import numpy
import onnx

SAMPLE_ROWS_MAX = 10_000
QUANTILES = [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0]
KINDS = {
    onnx.TensorProto.FLOAT: numpy.float32,
    onnx.TensorProto.DOUBLE: numpy.float64,
    onnx.TensorProto.INT64: numpy.int64,
    onnx.TensorProto.INT32: numpy.int32,
    onnx.TensorProto.BOOL: numpy.bool_,
    onnx.TensorProto.STRING: object,
}


def save(model, path, rows, output, reference=None, names=None):
    """Writes a model with what riverrun checks, into one file.

    model: what an exporter gives: an onnx.ModelProto, its bytes, the path of a file, an io.BytesIO, torch's ONNXProgram,
        or the pair that tf2onnx gives.
    rows: sample rows: a DataFrame of pandas or polars, a pyarrow table, a dict of columns, or an array of numpy with
        `names`. The columns are the inputs in the model's order.
    output: what the pipeline asks for, as `riverrun model check` names it: "probability OF 1", "value", or the name of
        an output.
    reference: rows of the training data, by which `rows` is replaced when the quantiles are computed.
    names: the names of the columns, where `rows` has none.
    """
    proto = _proto(model)
    columns = _columns(rows, names)
    if not columns:
        raise ValueError("rows have no columns, expected one for each input of the model")
    names = list(columns)
    count = len(next(iter(columns.values())))
    if count == 0 or count > SAMPLE_ROWS_MAX:
        raise ValueError(f"{count} sample rows, expected 1 to {SAMPLE_ROWS_MAX}")
    properties = {
        "riverrun.inputs": json.dumps(names),
        "riverrun.samples": json.dumps({"rows": _rows(columns), "scores": _scores(proto, columns, output), "output": output}),
        "riverrun.quantiles": json.dumps(_quantiles(columns if reference is None else _columns(reference, names))),
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
        present = [float(value) for value in values if isinstance(value, (bool, int, float, numpy.number))]
        if present:
            missing = 1 - len(present) / len(values)
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


def _scores(proto, columns, output):
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = _feed(proto, columns)
    answers = dict(zip([value.name for value in session.get_outputs()], session.run(None, feed)))
    scores = _pick(answers, output)
    return [float(score) if numpy.isfinite(score) else None for score in scores]


def _pick(answers, output):
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
    if len(numbers) == 1:
        (matrix,) = numbers.values()
        if label is None:
            place = output.removeprefix("value").removeprefix(" OF").strip() or "0"
            if place.isdigit() and int(place) < matrix.shape[1]:
                return matrix[:, int(place)]
        elif label.isdigit() and int(label) < matrix.shape[1]:
            return matrix[:, int(label)]
    raise ValueError(f"no score {output!r}; `riverrun model check` lists the outputs of a file, here {_named(answers)}")


def _named(answers):
    """The outputs as riverrun names them, as far as they are scores."""
    numbers = [numpy.asarray(answer) for answer in answers.values() if not isinstance(answer, list)]
    numbers = [answer.reshape(len(answer), -1) for answer in numbers if answer.dtype.kind == "f"]
    names = [f"probability OF {key}" for answer in answers.values() if isinstance(answer, list) for key in answer[0]]
    if len(numbers) == 1:
        width = numbers[0].shape[1]
        names += ["value"] if width == 1 else [f"value OF {at}, or probability OF {at}" for at in range(width)]
    return names or list(answers)
