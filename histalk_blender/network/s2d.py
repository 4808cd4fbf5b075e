"""S2D: sparse landmark displacements -> dense displacements, five branches and attention fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import HiSTalkConfig
from .decoder import MotionDecoder
from .hierarchy import LEVELS
from .linear import Linear, StackedLinear

BRANCHES = ("utterance", "word", "sparse", "phoneme", "frame")


class S2D(nn.Module):
    """Five Transformer decoders, one a branch (D_u, D_w, D_s, D_p, D_f), fused as D_pt = Σ D_x·W_x.

    Each decoder's memory is the speech feature of its level (the sparse branch takes the frame level's): 68
    landmarks do not show the tongue, speech does. W_x is one softmax weight a branch and frame, so the sum may
    be taken on the components of the dense output layer and stays exact.
    """

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.config = config
        width = config.branch_width
        kept = () if config.single_branch else config.levels
        self.names = tuple(name for name in BRANCHES if name == "sparse" or name in kept)
        count = len(self.names)
        self.decoder = MotionDecoder(config, count, 3 * config.landmarks, config.hierarchy_width, config.branch_layers)
        self.components = StackedLinear(count, width, config.dense_components)
        self.query = Linear(width, width)
        self.key = Linear(width, width)

    def forward(
        self, sparse: Tensor, levels: Tensor, features: list[Tensor], bias: list[Tensor], valid: Tensor
    ) -> Tensor:
        """Landmarks and speech to the components of the dense output.

        Args:
            sparse: [B, T, 68, 3] metres; levels: [B, 4, T, 68, 3] metres, frame first.
            features: the levels' speech features, four of [B, T, d].
            bias, valid: see `MotionDecoder`.

        Returns:
            [B, T, components].
        """
        of_level: dict[str, tuple[Tensor, Tensor]] = dict(zip(LEVELS, zip(levels.unbind(1), features)))
        of_level["sparse"] = sparse, features[LEVELS.index(self.config.levels[0])]
        motion, memory = (torch.stack(parts) for parts in zip(*(of_level[name] for name in self.names)))
        hidden = self.decoder((motion / self.config.landmark_scale).flatten(3), memory, bias, valid)  # [5, B, T, width]
        query = self.query(hidden.mean(0))
        score = (query * self.key(hidden)).sum(-1) / hidden.shape[-1] ** 0.5
        if not self.config.fusion:
            score = torch.zeros_like(score)
        weights = score.softmax(0)[..., None]  # [5, B, T, 1]
        return (self.components(hidden) * weights).sum(0)
