"""Trains a model on a table of a project, exports it, and writes what riverrun checks.

    python -m pip install "pyiceberg[sql-sqlite,pyarrow]" pandas numpy onnx onnxruntime
    python main.py xgboost PROJECT lake.spam_training models/spam.onnx --label label --inputs msgs_1m msgs_1h text_len

The first argument is a module of this folder; each says what it needs besides.
"""

import argparse
import importlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from riverrun import save
from table import training_table

FRAMEWORKS = ["catboost", "keras", "lightgbm", "pytorch", "scikit_learn", "xgboost"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("project")
    parser.add_argument("table")
    parser.add_argument("model")
    parser.add_argument("--label", required=True)
    parser.add_argument("--inputs", nargs="+", required=True)
    options = parser.parse_args()
    rows = training_table(options.project, options.table)
    features, label = rows[options.inputs], rows[options.label].astype(int)
    model, output, predict = importlib.import_module(f"{options.framework}_model").train(features, label)
    sample = features.sample(min(50, len(features)), random_state=0)
    save(model, options.model, rows=sample, output=output, reference=features, predicted=predict(sample))
    print(f"{options.model}: {output}")


if __name__ == "__main__":
    main()
