"""LightGBM. Needs lightgbm and onnxmltools."""

import lightgbm
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType


def train(features, label):
    model = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1)
    model.fit(features.to_numpy("float32"), label)
    types = [("x", FloatTensorType([None, features.shape[1]]))]
    predict = lambda rows: model.predict_proba(rows.to_numpy("float32"))[:, 1]
    return convert_lightgbm(model, initial_types=types, target_opset=15), "probability OF 1", predict
