"""Trains the model that the decision scores with, and exports it to ONNX.

The rows are those of the training table: January to October to train on,
November to stop early on, December to say how good it is. The inputs and their
order are those of CREATE MODEL delay in pipelines/decide.sql.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.metrics import roc_auc_score

import oracle
from evaluate import columns, input_names, score, split

HERE = Path(__file__).resolve().parent
SEED = 20130101
TREES_MAX = 200
SAMPLES = 8


def read_table(options):
    if options.table:
        return pq.read_table(options.table)
    if options.warehouse:
        return oracle.read_iceberg(options.warehouse, options.name)
    select = oracle.insert(options.pipelines, "lake.flights_training")
    table = pa.concat_tables(table for _, table in oracle.expected(options.data, select, options.pipelines))
    if options.save:
        pq.write_table(table, options.save, compression="zstd")
    return table


def fit(train, validate):
    model = xgboost.XGBClassifier(
        n_estimators=TREES_MAX, max_depth=5, learning_rate=0.1, subsample=0.8, colsample_bytree=0.8,
        min_child_weight=20, tree_method="hist", eval_metric="auc", early_stopping_rounds=20,
        random_state=SEED, n_jobs=1,
    )
    model.fit(*train, eval_set=[validate], verbose=False)
    best = model.best_iteration + 1
    model.set_params(early_stopping_rounds=None)
    model._Booster = model.get_booster()[:best]
    return model, best


def export(model, names):
    """The model as ONNX, with the names of its inputs in order in its metadata."""
    width = [("input", FloatTensorType([None, len(names)]))]
    exported = convert_xgboost(model, name="delay", initial_types=width, target_opset=15)
    # Trained on an array the inputs have no names in the file; riverrun binds by these.
    put(exported, "riverrun.inputs", names)
    return exported


def put(model, key, value):
    entry = model.metadata_props.add()
    entry.key, entry.value = key, json.dumps(value, separators=(",", ":"))


def add_samples(model, inputs):
    """Rows from across December with the scores they must get; a missing value is null."""
    rows = inputs[np.linspace(0, len(inputs) - 1, SAMPLES).astype(int)]
    shown = [[None if np.isnan(value) else float(value) for value in row] for row in rows]
    put(model, "riverrun.samples", {"rows": shown, "scores": [float(value) for value in score(model.SerializeToString(), rows)]})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--table", type=Path, help="the training table as a Parquet file")
    where.add_argument("--warehouse", type=Path, help="the folder of the warehouse, with catalog.db")
    parser.add_argument("--name", default="lake.flights_training", help="the table in the warehouse")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="without a table: DuckDB makes it from these")
    parser.add_argument("--pipelines", type=Path, default=HERE / "pipelines")
    parser.add_argument("--save", type=Path, help="keeps the table that DuckDB made")
    parser.add_argument("--out", type=Path, default=HERE / "models" / "delay.onnx")
    options = parser.parse_args()
    names = input_names(options.pipelines)
    train, validate, test = (columns(part, names) for part in split(read_table(options)))
    model, trees = fit(train, validate)
    exported = export(model, names)
    add_samples(exported, test[0])
    onnx.checker.check_model(exported)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(exported.SerializeToString())
    scores = score(exported.SerializeToString(), test[0])
    worst = float(np.abs(scores - model.predict_proba(test[0])[:, 1]).max())
    print(f"{len(train[1]):,} rows of January to October, {len(validate[1]):,} of November, {len(test[1]):,} of December")
    print(f"{trees} trees, {options.out.stat().st_size:,} bytes")
    print(f"onnxruntime and XGBoost differ by at most {worst:.1e}")
    print(f"AUC on November {roc_auc_score(validate[1], score(exported.SerializeToString(), validate[0])):.4f}")
    print(f"AUC on December {roc_auc_score(test[1], scores):.4f}")
    print("  score above   flights   of them late")
    for cut in (0.5, 0.6, 0.7, 0.8, 0.9):
        above = scores > cut
        print(f"  {cut:11.1f}   {int(above.sum()):7,}   {float(test[1][above].mean()) if above.any() else 0:12.1%}")


if __name__ == "__main__":
    main()
