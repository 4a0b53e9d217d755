"""CatBoost. Needs catboost. Categorical features cannot be exported: encode them in SQL."""

import os
import tempfile

import catboost
import onnx


def train(features, label):
    model = catboost.CatBoostClassifier(iterations=100, depth=6, verbose=0, allow_writing_files=False)
    model.fit(features.to_numpy("float32"), label)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        model.save_model(path, format="onnx")
        return onnx.load(path), "probability OF 1", lambda rows: model.predict_proba(rows.to_numpy("float32"))[:, 1]
