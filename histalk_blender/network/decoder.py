"""Transformer decoders whose attention fades with distance in time, several branches as one batch; for S2D and CMG."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import local_attention
from .config import HiSTalkConfig
from .linear import StackedLinear


def distance_bias(config: HiSTalkConfig, device: torch.device) -> list[Tensor]:
    """The attention bias for each distance in frames, -slope · seconds apart: [1, 2R + 1] for each head.

    Slopes run geometrically between the config's two, so that some heads cover a syllable and some a phrase. Each head
    reaches only as far as its weights have not faded.
    """
    first, last = (math.log2(slope) for slope in config.distance_slopes)
    found = []
    for slope in (2.0 ** torch.linspace(first, last, config.branch_heads, device="cpu")).tolist():
        reach = round(min(config.branch_span, config.distance_fade / slope) * config.fps)
        found.append(-slope / config.fps * torch.arange(-reach, reach + 1, device=device).abs()[None])
    return found


class StackedNorm(nn.Module):
    """One layer norm for each branch."""

    def __init__(self, branches: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(branches, width))
        self.bias = nn.Parameter(torch.zeros(branches, width))

    def forward(self, x: Tensor) -> Tensor:
        """[n, B, T, width] -> the same."""
        x = F.layer_norm(x, x.shape[-1:])
        return torch.addcmul(self.bias[:, None, None], x, self.weight[:, None, None])


class DecoderLayer(nn.Module):
    """Self-attention over motion, cross-attention to speech features, feed-forward; pre-norm."""

    def __init__(self, config: HiSTalkConfig, branches: int):
        super().__init__()
        width, inner = config.branch_width, config.branch_feed_forward * config.branch_width
        self.norms = nn.ModuleList(StackedNorm(branches, width) for _ in range(3))
        self.self_qkv = StackedLinear(branches, width, 3 * width)
        self.self_out = StackedLinear(branches, width, width)
        self.cross_q = StackedLinear(branches, width, width)
        self.cross_kv = StackedLinear(branches, width, 2 * width)
        self.cross_out = StackedLinear(branches, width, width)
        self.feed_forward = nn.Sequential(
            StackedLinear(branches, width, inner),
            nn.GELU(),
            nn.Dropout(config.branch_dropout),
            StackedLinear(branches, inner, width),
        )
        self.dropout = nn.Dropout(config.branch_dropout)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: list[Tensor], valid: Tensor) -> Tensor:
        heads = zip(*(x.flatten(0, 1).chunk(len(bias), -1) for x in (q, k, v)), bias)
        found = [local_attention(*(x[:, :, None] for x in rows), reach, valid) for *rows, reach in heads]
        return torch.cat(found, -1).view_as(q)

    def forward(self, x: Tensor, memory: Tensor, bias: list[Tensor], valid: Tensor) -> Tensor:
        """[n, B, T, d], [n, B, T, d], `distance_bias`, [n · B, T] -> [n, B, T, d]."""
        q, k, v = self.self_qkv(self.norms[0](x)).chunk(3, -1)
        x = x + self.dropout(self.self_out(self._attend(q, k, v, bias, valid)))
        k, v = self.cross_kv(memory).chunk(2, -1)
        x = x + self.dropout(self.cross_out(self._attend(self.cross_q(self.norms[1](x)), k, v, bias, valid)))
        return x + self.dropout(self.feed_forward(self.norms[2](x)))


class MotionDecoder(nn.Module):
    """A stack of decoder layers after two input projections, for several branches: S2D has five, the CMG one."""

    def __init__(self, config: HiSTalkConfig, branches: int, inputs: int, memory: int, layers: int):
        super().__init__()
        width = config.branch_width
        self.enter = StackedLinear(branches, inputs, width)
        self.memory = StackedLinear(branches, memory, width)
        self.layers = nn.ModuleList(DecoderLayer(config, branches) for _ in range(layers))
        self.norm = StackedNorm(branches, width)

    def forward(self, x: Tensor, memory: Tensor, bias: list[Tensor], valid: Tensor) -> Tensor:
        """n branches of B clips to the hidden states that the dense output is computed from.

        Args:
            x: [n, B, T, inputs].
            memory: [n, B, T, memory], the speech features that x attends to.
            bias: `distance_bias`.
            valid: [B, T] booleans.

        Returns:
            [n, B, T, width].
        """
        valid = valid.repeat(len(x), 1)
        x, memory = self.enter(x), self.memory(memory)
        for layer in self.layers:
            x = layer(x, memory, bias, valid)
        return self.norm(x)
