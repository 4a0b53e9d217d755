"""A small network of Keras. Needs tensorflow-cpu and tf2onnx."""

import tensorflow
import tf2onnx
from tensorflow import keras


def train(features, label):
    keras.utils.set_random_seed(0)
    x = features.fillna(0).to_numpy("float32")
    # The statistics of the features are a layer of the model. Of Normalization tf2onnx makes inputs of the graph.
    scale = keras.layers.BatchNormalization()
    layers = [keras.Input((x.shape[1],)), scale, keras.layers.Dense(32, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential(layers)
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(x, label.to_numpy("float32"), epochs=5, verbose=0)
    signature = [tensorflow.TensorSpec((None, x.shape[1]), tensorflow.float32, name="x")]
    # Missing values become 0 in the graph as well, so that rows are scored as they were trained.
    filled = lambda rows: tensorflow.where(tensorflow.math.is_nan(rows), 0.0, rows)
    function = tensorflow.function(lambda rows: {"score": model(filled(rows))})
    exported, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=15)
    predict = lambda rows: model(filled(rows.to_numpy("float32"))).numpy()
    return exported, "value", predict
