"""Two older designs that the paper compares with, on the same acoustic extractor and of about the same size."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...network import HiSTalk, HiSTalkConfig
from ...network.acoustic import acoustic_extractor
from ...network.masks import at_times
from ...network.model import AcousticFeatures, DenseOutput, HiSTalkComponents

WIDTH, LAYERS, HEADS = 384, 3, 4  # so the two have about as many weights as what they replace
WINDOW = 17  # frames that a per-frame design sees, VOCA's half a second


class ReferenceDesign(HiSTalk, ABC):
    """A network with HiSTalk's inputs and outputs and another middle; landmarks are read off its components."""

    def __init__(self, config: HiSTalkConfig, pretrained_acoustic: bool = False):
        nn.Module.__init__(self)
        self.config = config
        self.acoustic = acoustic_extractor(config, pretrained_acoustic)
        self.enter = nn.Linear(config.acoustic_width, WIDTH)
        self.leave = nn.Linear(WIDTH, config.dense_components)
        self.marks = nn.Linear(config.dense_components, 3 * config.landmarks)
        self.phone_head = nn.Linear(config.acoustic_width, config.phones)
        self.outputs = nn.ModuleDict(
            {name: DenseOutput(config.dense_components, vertices) for name, vertices in config.topologies}
        )

    def from_features(self, features: AcousticFeatures) -> HiSTalkComponents:
        """As `HiSTalk.from_features`; gates and levels are zero."""
        config, acoustic = self.config, features.values
        time = torch.arange(features.T, device=acoustic.device, dtype=torch.float32) / config.fps
        speech = self.enter(at_times(acoustic, features.tokens, time * config.sample_rate / config.hop))
        fine = self.motion(speech)
        sparse = self.marks(fine).unflatten(-1, (config.landmarks, 3)) * config.landmark_scale
        pairs = F.avg_pool1d(acoustic.transpose(1, 2), 2, ceil_mode=True).transpose(1, 2)
        none = torch.zeros_like(sparse)[:, None].expand(-1, 4, -1, -1, -1)
        return HiSTalkComponents(fine, torch.zeros_like(fine), sparse, none, none[..., 0], self.phone_head(pairs))

    @abstractmethod
    def motion(self, speech: Tensor) -> Tensor:
        """[B, T, WIDTH] at frame rate -> [B, T, components]."""


class PerFrame(ReferenceDesign):
    """After VOCA: each frame from a window of speech features, knowing of no other frame."""

    def __init__(self, config: HiSTalkConfig, pretrained_acoustic: bool = False):
        super().__init__(config, pretrained_acoustic)
        self.window = nn.Conv1d(WIDTH, WIDTH, WINDOW, padding=WINDOW // 2)
        self.layers = nn.Sequential(nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU())

    def motion(self, speech: Tensor) -> Tensor:
        """See `ReferenceDesign`."""
        return self.leave(self.layers(self.window(speech.transpose(1, 2)).transpose(1, 2)))


class Autoregressive(ReferenceDesign):
    """After FaceFormer: each frame from its own speech feature and all motion made so far, in training too."""

    def __init__(self, config: HiSTalkConfig, pretrained_acoustic: bool = False):
        super().__init__(config, pretrained_acoustic)
        self.past = nn.Linear(config.dense_components, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2 * LAYERS))
        self.attend = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(LAYERS))
        self.feed = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)) for _ in range(LAYERS)
        )

    def motion(self, speech: Tensor) -> Tensor:
        """See `ReferenceDesign`; keys and values are cached, as a decoder of text would."""
        B, T, _ = speech.shape
        made = [speech.new_zeros(B, self.config.dense_components)]
        keys, values = ([[] for _ in range(LAYERS)] for _ in range(2))
        for t in range(T):
            x = speech[:, t] + self.past(made[-1])
            for i in range(LAYERS):
                q, k, v = self.attend[i](self.norms[2 * i](x)).unflatten(-1, (3, HEADS, -1)).unbind(1)
                keys[i].append(k)
                values[i].append(v)
                k, v = (torch.stack(kept[i], 2) for kept in (keys, values))  # [B, heads, t + 1, d]
                x = x + F.scaled_dot_product_attention(q[:, :, None], k, v).flatten(1)
                x = x + self.feed[i](self.norms[2 * i + 1](x))
            made.append(self.leave(x))
        return torch.stack(made[1:], 1)
