"""Writes riverrun's metadata into an ONNX model: the names of its inputs in order, sample rows with their scores, and
how each feature is distributed in the training data.

riverrun checks the names against the SQL, and scores the sample rows before a job starts: a model that scores otherwise
than it did in training is refused. Needs onnx and numpy, and onnxruntime for the scores.

    from riverrun import save

    save(model, "models/spam.onnx", rows=table.sample(20), output="probability OF 1")
"""

import json

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


def save(model, path, *, rows, output, reference=None):
    """Writes a model with what riverrun checks.

    model: an onnx.ModelProto, its bytes, or the path of a file.
    rows: sample rows, as a pandas DataFrame or a pyarrow table: its columns are the inputs in the model's order.
    output: what the pipeline asks for, as `riverrun model check` names it: "probability OF 1", "label", "value".
    reference: rows of the training data, by which `rows` is replaced when the quantiles are computed.
    """
    proto = _proto(model)
    columns = _columns(rows)
    names = list(columns)
    count = len(next(iter(columns.values())))
    if count == 0 or count > SAMPLE_ROWS_MAX:
        raise ValueError(f"{count} sample rows, expected 1 to {SAMPLE_ROWS_MAX}")
    properties = {
        "riverrun.inputs": json.dumps(names),
        "riverrun.samples": json.dumps({"rows": _rows(columns), "scores": _scores(proto, columns, output), "output": output}),
        "riverrun.quantiles": json.dumps(_quantiles(_columns(rows if reference is None else reference))),
    }
    kept = {entry.key: entry.value for entry in proto.metadata_props if not entry.key.startswith("riverrun.")}
    onnx.helper.set_model_props(proto, {**kept, **properties})
    onnx.save(proto, path)


def _proto(model):
    if isinstance(model, onnx.ModelProto):
        return onnx.ModelProto.FromString(model.SerializeToString())
    return onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)


def _columns(rows):
    """Columns by name, as lists in which None is a missing value."""
    if hasattr(rows, "to_pylist"):
        return {name: rows.column(name).to_pylist() for name in rows.column_names}
    columns = {}
    for name in rows.columns:
        values = rows[name].tolist()
        columns[str(name)] = [None if isinstance(value, float) and numpy.isnan(value) else value for value in values]
    return columns


def _rows(columns):
    return [[_plain(value) for value in row] for row in zip(*columns.values())]


def _plain(value):
    return value.item() if isinstance(value, numpy.generic) else value


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
        kind = KINDS[tensor.elem_type]
        sizes = [dim.dim_value for dim in tensor.shape.dim[1:]]
        one_column = len(sizes) > 1 or len(given) == len(names)
        width = 1 if one_column or not sizes else sizes[0] or len(names)
        parts = [_array(columns[name], kind) for name in names[at : at + width]]
        at += width
        array = parts[0] if one_column else numpy.stack(parts, axis=1)
        feed[value.name] = array.reshape(len(array), *(size or -1 for size in sizes))
    if at != len(names):
        raise ValueError(f"{len(names)} columns, expected {at} as the model has inputs")
    return feed


def _array(values, kind):
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
            place = int(output.removeprefix("value").removeprefix(" OF").strip() or 0)
            return matrix[:, place]
        if label.isdigit() and int(label) < matrix.shape[1]:
            return matrix[:, int(label)]
    raise ValueError(f"no output {output!r}; export with zipmap, or name one of {list(numbers)}")
