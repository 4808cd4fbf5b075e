"""Attention that reaches so far and no further, in time and memory that grow with the clip and not with its square."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

HIDDEN = -1e4  # added for what is not to be seen; minus infinity would make NaN of rows that see nothing
CHANNELS = 8  # that say whether a key is valid; GPUs' kernels want multiples of eight, and values as wide as keys
LEAST = 64  # tokens of a block: fewer would not fill a processor


def local_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, valid: Tensor, dropout: float = 0.0
) -> Tensor:
    """Each token attends to the valid tokens at most R away, and adds what the distance says.

    Tokens are taken in blocks, each with the R before and after it: all blocks are one batch. What is valid stands in
    further channels of the keys, so that one small table of distances serves all blocks.

    Args:
        query, key, value: [B, L, heads, d].
        bias: [heads, 2R + 1] for distances -R to R from the one who looks to the one looked at.
        valid: [B, L] booleans.
        dropout: share of attention weights that are dropped.

    Returns:
        [B, L, heads, d].
    """
    B, L, heads, d = query.shape
    reach = bias.shape[1] // 2
    block, around = (L, 0) if L <= max(2 * reach, LEAST) else (max(reach, LEAST), reach)
    rest = -L % block
    hidden = torch.where(valid, 0.0, HIDDEN / CHANNELS).to(key.dtype)
    hidden = F.pad(hidden, (around, around + rest), value=HIDDEN / CHANNELS)[..., None, None].expand(
        -1, -1, heads, CHANNELS
    )
    query = F.pad(F.pad(query, (0, CHANNELS), value=1.0), (0, 0, 0, 0, 0, rest)).unflatten(1, (-1, block)).flatten(0, 1)
    key = torch.cat([F.pad(key, (0, 0, 0, 0, around, around + rest)), hidden], -1)
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
    """[heads, 2R + 1] -> [heads, queries, keys]; key `before` stands where query 0 stands."""
    reach = bias.shape[1] // 2
    first, last = -before - (queries - 1), keys - 1 - before  # distances that occur
    bias = bias[:, max(0, first + reach) : last + reach + 1]
    bias = F.pad(bias, (max(0, -reach - first), max(0, last - reach)), value=HIDDEN)
    return bias.unfold(-1, keys, 1).flip(-2)
