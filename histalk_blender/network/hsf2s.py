"""HSF2S: hierarchical speech features -> sparse landmark displacements (paper: F_x, gates x, S_pt)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import HiSTalkConfig
from .hierarchy import LEVELS
from .linear import Linear
from .masks import valid_mask


class LandmarkHead(nn.Module):
    """One level's features -> its landmark displacements F_x in metres."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(
            nn.LayerNorm(config.hierarchy_width),
            Linear(config.hierarchy_width, config.hierarchy_width),
            nn.GELU(),
            Linear(config.hierarchy_width, 3 * config.landmarks),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, d] -> [B, T, 68, 3]."""
        return self.layers(x).unflatten(-1, (self.config.landmarks, 3)) * self.config.landmark_scale


class SqueezeExcitation(nn.Module):
    """A gate in (0, 1) for each landmark and frame of one level.

    The squeeze averages over coordinates and a second of time around the frame, not over the clip: a gate is then the
    same in a window as in the whole clip.
    """

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.scale = config.landmark_scale
        self.span = 2 * round(config.gate_squeeze_seconds * config.fps / 2) + 1
        reduced = config.landmarks // config.gate_reduction
        self.excite = nn.Sequential(
            Linear(config.landmarks, reduced), nn.ReLU(), Linear(reduced, config.landmarks), nn.Sigmoid()
        )

    def forward(self, motion: Tensor, frames: Tensor) -> Tensor:
        """[B, T, 68, 3], valid frames [B] -> [B, T, 68]."""
        T = motion.shape[1]
        mask = valid_mask(frames, T)[:, None].to(motion.dtype)  # [B, 1, T]
        # The norm's gradient at exactly zero is undefined; a micrometre keeps it finite.
        size = ((motion / self.scale).square().sum(-1) + 1e-8).sqrt().transpose(1, 2)  # [B, 68, T]

        def around(x: Tensor) -> Tensor:
            return F.avg_pool1d(x, self.span, stride=1, padding=self.span // 2)

        squeezed = around(size * mask) / around(mask).clamp(min=1e-6)
        return self.excite(squeezed.transpose(1, 2))


class HSF2S(nn.Module):
    """Four landmark heads, four gates, one weighted sum S_pt = Σ x·F_x."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.kept = [float(level in config.levels) for level in LEVELS]
        self.gating = config.gating
        self.heads = nn.ModuleList(LandmarkHead(config) for _ in LEVELS)
        self.gates = nn.ModuleList(SqueezeExcitation(config) for _ in LEVELS)

    def forward(self, features: list[Tensor], frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frame-rate features of the levels to landmarks.

        Args:
            features: four of [B, T, d].
            frames: [B] valid frames.

        Returns:
            sparse [B, T, 68, 3] metres, weighted levels x·F_x [B, 4, T, 68, 3], gates [B, 4, T, 68].
        """
        motions = [head(x) for head, x in zip(self.heads, features)]
        if self.gating:
            gates = [gate(motion, frames) for gate, motion in zip(self.gates, motions)]
        else:
            gates = [torch.full_like(motion[..., 0], 1 / sum(self.kept)) for motion in motions]
        gates = [gate * kept for gate, kept in zip(gates, self.kept)]
        levels = torch.stack([gate[..., None] * motion for gate, motion in zip(gates, motions)], 1)
        return levels.sum(1), levels, torch.stack(gates, 1)
