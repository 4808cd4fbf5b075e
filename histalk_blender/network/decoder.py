"""Transformer decoder layers with attention that fades with distance in time; shared by S2D and the CMG."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import HiSTalkConfig
from .masks import valid_mask


def distance_bias(frames: int, valid: Tensor, config: HiSTalkConfig) -> Tensor:
    """Additive attention bias [B, heads, T, T]: -slope · seconds apart, minus infinity on padding.

    Slopes run geometrically between the config's two, so that some heads see a syllable and some a phrase, and a
    far window cannot change a frame.
    """
    time = torch.arange(frames, device=valid.device) / config.fps
    first, last = (math.log2(slope) for slope in config.distance_slopes)
    slopes = 2.0 ** torch.linspace(first, last, config.branch_heads, device=valid.device)
    bias = -slopes[:, None, None] * (time[:, None] - time[None]).abs()
    return bias[None].masked_fill(~valid_mask(valid, frames)[:, None, None], float("-inf"))


class DecoderLayer(nn.Module):
    """Self-attention over motion, cross-attention to speech features, feed-forward; pre-norm."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        width, dropout = config.branch_width, config.branch_dropout
        inner = config.branch_feed_forward * width
        self.heads = config.branch_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.self_qkv = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        self.cross_q = nn.Linear(width, width)
        self.cross_kv = nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width)
        )
        self.dropout = nn.Dropout(dropout)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        heads = F.scaled_dot_product_attention(
            self._heads(q), self._heads(k), self._heads(v), attn_mask=bias.to(q.dtype)
        )
        return heads.transpose(1, 2).flatten(2)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """[B, T, d], [B, T, d], [B, heads, T, T] -> [B, T, d]."""
        q, k, v = self.self_qkv(self.norms[0](x)).chunk(3, -1)
        x = x + self.dropout(self.self_out(self._attend(q, k, v, bias)))
        k, v = self.cross_kv(memory).chunk(2, -1)
        x = x + self.dropout(self.cross_out(self._attend(self.cross_q(self.norms[1](x)), k, v, bias)))
        return x + self.dropout(self.feed_forward(self.norms[2](x)))


class MotionDecoder(nn.Module):
    """A stack of decoder layers between two projections: what each S2D branch and the CMG are made of."""

    def __init__(self, config: HiSTalkConfig, inputs: int, memory: int, layers: int):
        super().__init__()
        width = config.branch_width
        self.enter = nn.Linear(inputs, width)
        self.memory = nn.Linear(memory, width)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """[B, T, inputs], [B, T, memory] -> [B, T, width]."""
        x, memory = self.enter(x), self.memory(memory)
        for layer in self.layers:
            x = layer(x, memory, bias)
        return self.norm(x)
