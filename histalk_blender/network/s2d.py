"""S2D: sparse landmark displacements -> dense displacements, five branches and attention fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import HiSTalkConfig
from .decoder import MotionDecoder
from .hierarchy import LEVELS

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
        self.branches = nn.ModuleDict(
            {
                name: MotionDecoder(config, 3 * config.landmarks, config.hierarchy_width, config.branch_layers)
                for name in self.names
            }
        )
        self.components = nn.ModuleDict({name: nn.Linear(width, config.dense_components) for name in self.names})
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)

    def forward(self, sparse: Tensor, levels: Tensor, features: list[Tensor], bias: Tensor) -> Tensor:
        """Landmarks and speech to the components of the dense output.

        Args:
            sparse: [B, T, 68, 3] metres; levels: [B, 4, T, 68, 3] metres, frame first.
            features: the levels' speech features, four of [B, T, d].
            bias: attention bias [B, heads, T, T].

        Returns:
            [B, T, components].
        """
        frame, phoneme, word, utterance = levels.unbind(1)
        motion = {"utterance": utterance, "word": word, "sparse": sparse, "phoneme": phoneme, "frame": frame}
        memory = {
            "utterance": features[3], "word": features[2], "sparse": features[LEVELS.index(self.config.levels[0])],
            "phoneme": features[1], "frame": features[0],
        }  # fmt: skip
        hidden = torch.stack(
            [
                self.branches[name]((motion[name] / self.config.landmark_scale).flatten(2), memory[name], bias)
                for name in self.names
            ],
            2,
        )  # [B, T, 5, width]
        query = self.query(hidden.mean(2, keepdim=True))
        score = (query * self.key(hidden)).sum(-1) / hidden.shape[-1] ** 0.5
        if not self.config.fusion:
            score = torch.zeros_like(score)
        weights = score.softmax(-1)[..., None]  # [B, T, 5, 1]
        dense = torch.stack([self.components[name](hidden[:, :, i]) for i, name in enumerate(self.names)], 2)
        return (dense * weights).sum(2)
