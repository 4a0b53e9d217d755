"""A scikit-learn pipeline over numbers and texts. Needs scikit-learn and skl2onnx."""

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def train(features, label):
    texts = [name for name in features.columns if features[name].dtype.kind in "OUT"]
    numbers = [name for name in features.columns if name not in texts]
    typed = features.astype({name: "float32" for name in numbers})
    parts = [("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers)]
    if texts:
        parts.append(("texts", OneHotEncoder(handle_unknown="ignore"), texts))
    pipeline = make_pipeline(ColumnTransformer(parts), LogisticRegression(max_iter=1000)).fit(typed, label)
    types = [(name, (StringTensorType if name in texts else FloatTensorType)([None, 1])) for name in features.columns]
    versions = {"": 18, "ai.onnx.ml": 3}
    predict = lambda rows: pipeline.predict_proba(rows.astype({name: "float32" for name in numbers}))[:, 1]
    return convert_sklearn(pipeline, "pipeline", types, target_opset=versions), "probability OF 1", predict
