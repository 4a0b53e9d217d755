"""Exports small neural nets of PyTorch into the folder `torch`, with weights as they are drawn.

Needs torch alone: Debian's python3-torch 1.13.1 made the files.

    /usr/bin/python3 torch_models.py
"""

import os
import warnings

import torch
from torch import nn

warnings.filterwarnings("ignore")
torch.manual_seed(0)


class Wide(nn.Module):
    """Embeddings of categories beside numbers, deep and wide."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.deep = nn.Sequential(nn.Linear(3 * 8 + 4, 16), nn.ReLU(), nn.Linear(16, 1))
        self.wide = nn.Linear(4, 1)

    def forward(self, ids, x):
        deep = torch.cat([self.embedding(ids).flatten(1), x], 1)
        return torch.sigmoid(self.deep(deep) + self.wide(x))


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer(4, 8, batch_first=True)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        return torch.sigmoid(self.out(self.layer(x)[0][:, -1]))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
        self.inner, self.layers, self.out = nn.Linear(4, 16), nn.TransformerEncoder(layer, 2), nn.Linear(16, 1)

    def forward(self, x):
        return torch.sigmoid(self.out(self.layers(self.inner(x)).mean(1)))


def convolution():
    first = [nn.Conv1d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 8, 3), nn.ReLU()]
    return nn.Sequential(*first, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2), nn.Softmax(1))


def perceptron():
    layers = [nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 8), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Linear(8, 1), nn.Sigmoid())
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    return model


MODELS = {
    "mlp": (perceptron(), [torch.randn(2, 5)]),
    "gelu": (nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3), nn.Softmax(1)), [torch.randn(2, 5)]),
    "wide": (Wide(), [torch.randint(0, 50, (2, 3)), torch.randn(2, 4)]),
    "lstm": (Recurrent(nn.LSTM), [torch.randn(2, 6, 4)]),
    "gru": (Recurrent(nn.GRU), [torch.randn(2, 6, 4)]),
    "conv": (convolution(), [torch.randn(2, 3, 12)]),
    "encoder": (Encoder(), [torch.randn(2, 6, 4)]),
}

if __name__ == "__main__":
    os.makedirs("torch", exist_ok=True)
    for name, (model, example) in MODELS.items():
        names = ["ids", "x"] if len(example) == 2 else ["x"]
        axes = {each: {0: "rows"} for each in [*names, "score"]}
        options = dict(input_names=names, output_names=["score"], dynamic_axes=axes, opset_version=16)
        torch.onnx.export(model.eval(), tuple(example), f"torch/{name}.onnx", **options)
