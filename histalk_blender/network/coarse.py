"""CMG, the coarse motion generator: speech -> a first dense motion C_pt (version B of the paper)."""

from __future__ import annotations

from torch import Tensor, nn

from .config import HiSTalkConfig
from .decoder import MotionDecoder
from .linear import Linear


class CoarseMotionGenerator(nn.Module):
    """A light Transformer motion decoder on the acoustic features.

    In the paper's figures it has an audio encoder of its own; ours shares the acoustic extractor, which is the largest
    part of the model's cost.
    """

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        width = config.acoustic_width
        self.decoder = MotionDecoder(config, 1, width, width, config.coarse_layers)
        self.components = Linear(config.branch_width, config.dense_components)

    def forward(self, acoustic: Tensor, bias: list[Tensor], valid: Tensor) -> Tensor:
        """Acoustic features at frame rate [B, T, acoustic width] -> [B, T, components]; see `MotionDecoder`."""
        (hidden,) = self.decoder(acoustic[None], acoustic[None], bias, valid)
        return self.components(hidden)
