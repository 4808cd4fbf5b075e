"""Masks, positions and resampling that several parts share."""

from __future__ import annotations

import torch
from torch import Tensor


def valid_mask(lengths: Tensor, size: int) -> Tensor:
    """[B] lengths -> [B, size] booleans, true where valid."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def sinusoids(length: int, width: int, device) -> Tensor:
    """Sinusoidal positions [length, width]."""
    position = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-9.210340371976184 / width))
    return torch.cat([(position * rate).sin(), (position * rate).cos()], dim=1)


def at_times(features: Tensor, valid: Tensor, positions: Tensor) -> Tensor:
    """Linear interpolation along time, held at each clip's own ends.

    Args:
        features: [B, M, d].
        valid: [B] valid tokens of each clip.
        positions: [T] fractional token indices.

    Returns:
        [B, T, d].
    """
    last = (valid[:, None] - 1).clamp(min=0).to(positions.dtype)
    where = torch.minimum(positions[None].clamp(min=0), last)  # [B, T]
    low = where.floor().long()
    high = torch.minimum(low + 1, last.long())
    weight = (where - low)[..., None].to(features.dtype)
    index = low[..., None].expand(-1, -1, features.shape[-1])
    index_high = high[..., None].expand(-1, -1, features.shape[-1])
    return features.gather(1, index) * (1 - weight) + features.gather(1, index_high) * weight
