"""Attention within a fixed reach: time and memory grow with the clip's length, not with its square."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MASKED = -1e4  # added where attention is masked; minus infinity would give NaN in rows that are masked throughout
CHANNELS = 8  # extra ones that mark valid keys; GPU kernels need multiples of eight, and values as wide as keys
SMALLEST_BLOCK = 64  # tokens; fewer would not fill a processor


def local_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, valid: Tensor, dropout: float = 0.0
) -> Tensor:
    """Each token attends to the valid tokens at most R away; a bias for each distance is added.

    Tokens are cut into blocks, each with the R tokens before and after it, and all blocks form one batch. Valid keys
    are marked in extra channels, so that one small table of distances serves all blocks.

    Args:
        query, key, value: [B, L, heads, d].
        bias: [heads, 2R + 1] for distances -R to R from query to key.
        valid: [B, L] booleans.
        dropout: share of the attention weights that is dropped.

    Returns:
        [B, L, heads, d].
    """
    B, L, heads, d = query.shape
    reach = bias.shape[1] // 2
    block, around = (L, 0) if L <= max(2 * reach, SMALLEST_BLOCK) else (max(reach, SMALLEST_BLOCK), reach)
    rest = -L % block
    marks = torch.where(valid, 0.0, MASKED / CHANNELS).to(key.dtype)
    marks = F.pad(marks, (around, around + rest), value=MASKED / CHANNELS)[..., None, None].expand(
        -1, -1, heads, CHANNELS
    )
    query = F.pad(F.pad(query, (0, CHANNELS), value=1.0), (0, 0, 0, 0, 0, rest)).unflatten(1, (-1, block)).flatten(0, 1)
    key = torch.cat([F.pad(key, (0, 0, 0, 0, around, around + rest)), marks], -1)
    value = F.pad(value, (0, CHANNELS, 0, 0, around, around + rest))
    key, value = (
        x.unfold(1, block + 2 * around, block).permute(0, 1, 2, 4, 3).flatten(0, 1) for x in (key, value)
    )  # [B · blocks, heads, block and around, d + CHANNELS]
    table = _by_distance(bias, block, block + 2 * around, around).to(query.dtype)[None]
    found = F.scaled_dot_product_attention(
        query.transpose(1, 2), key, value, attn_mask=table, dropout_p=dropout, scale=d**-0.5
    )
    return found.transpose(1, 2).reshape(B, -1, heads, d + CHANNELS)[:, :L, :, :d]


def _by_distance(bias: Tensor, queries: int, keys: int, before: int) -> Tensor:
    """[heads, 2R + 1] -> [heads, queries, keys]; key `before` is at the place of query 0."""
    reach = bias.shape[1] // 2
    first, last = -before - (queries - 1), keys - 1 - before  # the distances that occur
    bias = bias[:, max(0, first + reach) : last + reach + 1]
    bias = F.pad(bias, (max(0, -reach - first), max(0, last - reach)), value=MASKED)
    return bias.unfold(-1, keys, 1).flip(-2)
