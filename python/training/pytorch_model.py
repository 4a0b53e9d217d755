"""A small network of PyTorch. Needs torch; the exporter of torch 2.5 and later also needs onnxscript."""

import io
import warnings

import torch
from torch import nn


class Filled(nn.Module):
    """Puts 0 where a value is missing: in the graph, so that rows are scored as they were trained."""

    def forward(self, x):
        return torch.where(torch.isnan(x), torch.tensor(0.0), x)


def train(features, label):
    torch.manual_seed(0)
    x = torch.tensor(features.to_numpy("float32"))
    y = torch.tensor(label.to_numpy("float32")).reshape(-1, 1)
    # The statistics of the features are a layer of the model, so that rows go in as they are.
    scale = nn.BatchNorm1d(x.shape[1], affine=False)
    model = nn.Sequential(Filled(), scale, nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy(model(x), y).backward()
        optimizer.step()
    file = io.BytesIO()
    # One file with an open batch: torch's new exporter writes a second file and fixes the batch.
    options = dict(input_names=["x"], output_names=["score"], dynamic_axes={"x": {0: "rows"}, "score": {0: "rows"}})
    if "dynamo" in torch.onnx.export.__code__.co_varnames:
        options["dynamo"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), (x[:2],), file, opset_version=16, **options)
    predict = lambda rows: model(torch.tensor(rows.to_numpy("float32"))).detach().numpy()
    return file.getvalue(), "value", predict
