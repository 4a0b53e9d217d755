#!/usr/bin/env python3
"""Writes the sample data and the model of the project that `riverrun init` makes.

    pip install xgboost==3.2.0 onnxmltools==1.16.0 onnx numpy
    python3 generate.py
"""
import csv
import datetime
import json
import random
from pathlib import Path

import numpy
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

HERE = Path(__file__).parent
START = datetime.datetime(2026, 1, 1, 8, 0, 0)
INPUTS = ["msgs_1m", "msgs_1h", "recipients_1h", "link_share_1h", "text_len"]


def messages():
    """Two hours of direct messages: forty people who talk, and three who spam."""
    chance = random.Random(7)
    rows = []
    for sender in range(1, 41):
        at = START + datetime.timedelta(seconds=chance.uniform(0, 600))
        while at < START + datetime.timedelta(hours=2):
            rows.append((sender, chance.randrange(100, 112), chance.randrange(3, 200), chance.random() < 0.05, at))
            at += datetime.timedelta(seconds=chance.expovariate(1 / 240))
    for sender in (91, 92, 93):
        at = START + datetime.timedelta(minutes=chance.randrange(20, 80))
        for _ in range(150):
            rows.append((sender, chance.randrange(1000, 9000), chance.randrange(40, 60), chance.random() < 0.9, at))
            at += datetime.timedelta(seconds=chance.uniform(0.2, 4))
    rows.sort(key=lambda row: row[4])
    return rows


def features(rows):
    """The inputs of the model as the pipeline defines them, by a plain loop."""
    out = []
    for sender, _, text_len, _, at in rows:
        mine = [row for row in rows if row[0] == sender and row[4] <= at]
        minute = [row for row in mine if row[4] >= at - datetime.timedelta(minutes=1)]
        hour = [row for row in mine if row[4] >= at - datetime.timedelta(hours=1)]
        links = sum(row[3] for row in hour) / len(hour)
        out.append([len(minute), len(hour), len({row[1] for row in hour}), links, text_len])
    return numpy.array(out, dtype=numpy.float32)


def main():
    rows = messages()
    with open(HERE / "data/messages.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["message_id", "sender_id", "recipient_id", "text_len", "has_link", "sent_at"])
        for n, (sender, recipient, text_len, link, at) in enumerate(rows):
            stamp = at.isoformat(sep=" ", timespec="milliseconds")
            writer.writerow([f"m{n}", sender, recipient, text_len, str(link).lower(), stamp])
    x, y = features(rows), numpy.array([row[0] > 90 for row in rows], dtype=int)
    model = xgboost.XGBClassifier(n_estimators=20, max_depth=3, random_state=1, n_jobs=1)
    model.fit(x, y)
    onnx = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, len(INPUTS)]))], target_opset=15)
    picked = [0, len(rows) // 2, int(numpy.argmax(y))]
    samples = {"rows": x[picked].tolist(), "scores": model.predict_proba(x[picked])[:, 1].tolist()}
    for key, value in (("riverrun.inputs", INPUTS), ("riverrun.samples", samples)):
        entry = onnx.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    (HERE / "models/spam.onnx").write_bytes(onnx.SerializeToString())


main()
