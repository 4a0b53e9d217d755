"""Says how good the committed model is, by onnxruntime over the training table's December.

With --log, the scores in a decision log are compared with onnxruntime's over
the same features too; a difference above 1e-6 makes the exit code 1.
"""

import argparse
import re
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.compute as pc

import oracle

HERE = Path(__file__).resolve().parent
TRAIN_UNTIL, VALIDATE_UNTIL = datetime(2013, 11, 1), datetime(2013, 12, 1)
SCORES_DIFFER_MAX = 1e-6


def input_names(pipelines):
    """The names in INPUTS (...) of CREATE MODEL delay."""
    for statement in oracle.statements(pipelines):
        match = re.match(r"CREATE\s+MODEL\s+delay\b.*?\bINPUTS\s*\(([^)]*)\)", statement, re.IGNORECASE | re.DOTALL)
        if match:
            return [name.strip() for name in match.group(1).split(",")]
    raise SystemExit(f"{pipelines}: no CREATE MODEL delay with INPUTS")


def features(table, names):
    """Inputs as 32-bit floats with NaN for what is missing."""
    inputs = [pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy() for name in names]
    return np.column_stack(inputs).astype(np.float32)


def columns(table, names):
    """The inputs, and the label."""
    return features(table, names), table["late"].cast(pa.int8()).to_numpy()


def split(table):
    """Rows of January to October, of November, and of December, each in the order of flight_id."""
    table = table.sort_by("flight_id")
    at = table["scheduled_at"].cast(pa.timestamp("us"))
    first, second = (pa.scalar(moment, pa.timestamp("us")) for moment in (TRAIN_UNTIL, VALIDATE_UNTIL))
    parts = (
        table.filter(pc.less(at, first)),
        table.filter(pc.and_(pc.greater_equal(at, first), pc.less(at, second))),
        table.filter(pc.greater_equal(at, second)),
    )
    for part, name in zip(parts, ("January to October", "November", "December")):
        if not part.num_rows:
            raise SystemExit(f"the training table has no rows of {name}; it needs the whole year")
    return parts


def score(model, inputs):
    """The probability of class 1, by onnxruntime, from the bytes of a model."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    labels, scores = session.run(None, {"input": inputs})
    return scores[:, 1] if isinstance(scores, np.ndarray) else np.array([row[1] for row in scores], np.float32)


def auc(labels, scores):
    """The share of pairs of a late and a punctual flight in which the late one scores higher; a tie is half a pair."""
    _, at, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[at]
    late = int(labels.sum())
    return (ranks[labels == 1].sum() - late * (late + 1) / 2) / (late * (len(labels) - late))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warehouse", type=Path, default=HERE / "warehouse", help="the folder with catalog.db")
    parser.add_argument("--name", default="lake.flights_training", help="the training table")
    parser.add_argument("--log", help="a decision log to compare scores with, such as default.delay_watch__log")
    parser.add_argument("--model", type=Path, default=HERE / "models" / "delay.onnx")
    parser.add_argument("--pipelines", type=Path, default=HERE / "pipelines")
    options = parser.parse_args()
    model, names = options.model.read_bytes(), input_names(options.pipelines)
    inputs, labels = columns(split(oracle.read_iceberg(options.warehouse, options.name))[2], names)
    print(f"{len(labels):,} rows of December")
    print(f"AUC on December {auc(labels, score(model, inputs)):.4f}")
    if options.log:
        log = oracle.read_iceberg(options.warehouse, options.log)
        worst = float(np.abs(log["score"].to_numpy() - score(model, features(log, names))).max())
        print(f"{log.num_rows:,} scores of {options.log} differ from onnxruntime by at most {worst:.1e}")
        sys.exit(0 if worst <= SCORES_DIFFER_MAX else 1)


if __name__ == "__main__":
    main()
