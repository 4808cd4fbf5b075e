"""Linear layers, one or several as a batch, with the fastest matrix product of the device."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# oneDNN's product, as torch.compile calls it. In single precision PyTorch uses MKL's, which leaves half of the vector
# units of AMD's processors idle and takes 2.3 times as long for the same sums.
_PRODUCT = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        _PRODUCT is not None
        and x.is_cpu
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and x.numel() > 0
    )


class Linear(nn.Linear):
    """`nn.Linear`, faster without gradients on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        if _by_onednn(x, self.weight):
            return _PRODUCT(x, self.weight, self.bias, "none", [], "")
        return F.linear(x, self.weight, self.bias)


class StackedLinear(nn.Module):
    """One linear layer for each branch, as one product where that is fastest."""

    def __init__(self, branches: int, inputs: int, outputs: int):
        super().__init__()
        bound = inputs**-0.5  # the initial range of nn.Linear
        self.weight = nn.Parameter(torch.empty(branches, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(branches, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """[n, B, T, inputs] -> [n, B, T, outputs]."""
        if _by_onednn(x, self.weight):
            rows = zip(x, self.weight, self.bias)
            return torch.stack([_PRODUCT(row, weight, bias, "none", [], "") for row, weight, bias in rows])
        n, B, T, inputs = x.shape
        product = torch.baddbmm(self.bias[:, None], x.reshape(n, B * T, inputs), self.weight.transpose(1, 2))
        return product.view(n, B, T, -1)
