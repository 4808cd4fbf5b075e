"""Products by another library give the same sums."""

import pytest
import torch
from torch.nn import functional as F

from histalk_blender.network import linear
from histalk_blender.network.linear import Linear, StackedLinear


@pytest.fixture(params=["oneDNN", "none"])
def library(request, monkeypatch):
    if request.param == "none":
        monkeypatch.setattr(linear, "_PRODUCT", None)
    elif linear._PRODUCT is None:
        pytest.skip("this PyTorch has no oneDNN")


@torch.no_grad()
@pytest.mark.parametrize("shape", [(7, 24), (1, 1, 24), (2, 50, 24), (0, 24)])
def test_a_layer_is_linear(library, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    for layer in (Linear(24, 10), Linear(24, 10, bias=False)):
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-6, rtol=1e-5)
    half = Linear(24, 10).bfloat16()
    assert half(x.bfloat16()).dtype == torch.bfloat16


@torch.no_grad()
def test_stacked_layers_are_one_layer_each(library):
    torch.manual_seed(0)
    layers, x = StackedLinear(3, 8, 5), torch.randn(3, 2, 11, 8)
    for found, given, weight, bias in zip(layers(x), x, layers.weight, layers.bias):
        torch.testing.assert_close(found, F.linear(given, weight, bias), atol=1e-6, rtol=1e-5)


def test_gradients_flow(library):
    layer, stacked, x = Linear(4, 3), StackedLinear(2, 4, 3), torch.randn(2, 1, 5, 4, requires_grad=True)
    (layer(x).square().sum() + stacked(x).square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (x, *layer.parameters(), *stacked.parameters()))
