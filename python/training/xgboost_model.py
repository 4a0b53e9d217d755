"""XGBoost. Needs xgboost-cpu and onnxmltools."""

import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType


def train(features, label):
    model = xgboost.XGBClassifier(n_estimators=100, max_depth=6, n_jobs=1)
    # Names that are not f0, f1, .. are refused by the exporter; riverrun keeps them beside the model.
    model.fit(features.to_numpy("float32"), label)
    types = [("x", FloatTensorType([None, features.shape[1]]))]
    predict = lambda rows: model.predict_proba(rows.to_numpy("float32"))[:, 1]
    return convert_xgboost(model, initial_types=types, target_opset=15), "probability OF 1", predict
