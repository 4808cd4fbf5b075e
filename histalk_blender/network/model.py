"""The whole model: HSF2S, S2D and the CMG, read top-down."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .acoustic import acoustic_extractor
from .coarse import CoarseMotionGenerator
from .config import HiSTalkConfig
from .decoder import distance_bias
from .hierarchy import HierarchicalExtractor
from .hsf2s import HSF2S
from .linear import Linear
from .masks import at_times, valid_mask
from .s2d import S2D


@dataclass(frozen=True)
class HiSTalkOutput:
    """One forward pass; B clips, T frames, V vertices, M phoneme tokens (40 ms)."""

    displacements: Tensor  # [B, T, V, 3] metres: M_pt = C_pt + D_pt
    sparse: Tensor  # [B, T, 68, 3] metres: S_pt
    levels: Tensor  # [B, 4, T, 68, 3] metres: x·F_x for frame, phoneme, word, utterance
    gates: Tensor  # [B, 4, T, 68] in (0, 1)
    coarse: Tensor  # [B, T, V, 3] metres: C_pt, zero when the CMG is off
    phone_logits: Tensor  # [B, M, phones]


@dataclass(frozen=True)
class HiSTalkComponents:
    """As `HiSTalkOutput`, with the dense parts still as components of the topology's output layer."""

    fine: Tensor  # [B, T, components]
    coarse: Tensor  # [B, T, components]
    sparse: Tensor
    levels: Tensor
    gates: Tensor
    phone_logits: Tensor

    def float(self) -> HiSTalkComponents:
        """The same in single precision, as losses need it."""
        return HiSTalkComponents(*(getattr(self, name).float() for name in self.__dataclass_fields__))


class DenseOutput(nn.Module):
    """S2D's output layer for one topology: components -> every vertex's displacement."""

    def __init__(self, components: int, vertices: int):
        super().__init__()
        self.basis = nn.Parameter(torch.zeros(components, vertices, 3))

    def forward(self, components: Tensor) -> Tensor:
        """[B, T, components] -> [B, T, V, 3] metres."""
        return (components @ self.basis.flatten(1)).unflatten(-1, self.basis.shape[1:])


class HiSTalk(nn.Module):
    """Speech -> dense facial motion, all frames at once."""

    def __init__(self, config: HiSTalkConfig, pretrained_acoustic: bool = False):
        super().__init__()
        self.config = config
        self.source = ""  # the file that the weights were read from, for messages
        self.acoustic = acoustic_extractor(config, pretrained_acoustic)
        self.hierarchy = HierarchicalExtractor(config)
        self.phone_head = Linear(config.hierarchy_width, config.phones)
        self.hsf2s = HSF2S(config)
        self.s2d = S2D(config)
        self.cmg = CoarseMotionGenerator(config) if config.coarse else None
        self.outputs = nn.ModuleDict(
            {name: DenseOutput(config.dense_components, vertices) for name, vertices in config.topologies}
        )

    def set_output(self, topology: str, basis: Tensor) -> None:
        """Give the dense side an output layer for a topology, or another basis [components, V, 3] in metres."""
        self.config = self.config.with_topology(topology, basis.shape[1])
        self.outputs[topology] = DenseOutput(basis.shape[0], basis.shape[1]).to(basis.device)
        self.outputs[topology].basis.data.copy_(basis)

    def components(self, waveform: Tensor, lengths: Tensor | None = None) -> HiSTalkComponents:
        """Everything up to the topology-bound output layer.

        Args:
            waveform: [B, N] float32 at 16 kHz, level-normalised over its clip.
            lengths: [B] valid samples; None = all.

        Raises:
            ValueError: the waveform is not [B, N] with N > 0, or a length lies outside it.
        """
        if waveform.dim() != 2 or waveform.shape[1] == 0:
            raise ValueError(f"waveform must be [batch, samples] with samples > 0, not {tuple(waveform.shape)}.")
        B, N = waveform.shape
        if lengths is None:
            lengths = torch.full((B,), N, device=waveform.device)
        if lengths.shape != (B,) or int(lengths.min()) < 1 or int(lengths.max()) > N:
            raise ValueError(f"lengths must be {B} numbers from 1 to {N}.")
        config = self.config
        T = config.frames(N)
        frames = (lengths / config.sample_rate * config.fps).round().long().clamp(1, T)
        acoustic, tokens = self.acoustic(waveform, lengths)
        return self.from_features(acoustic, tokens, frames, T)

    def from_features(self, acoustic: Tensor, tokens: Tensor, frames: Tensor, T: int) -> HiSTalkComponents:
        """`components` after the acoustic extractor.

        Args:
            acoustic: [B, M, acoustic width] as the extractor gives it, zero where invalid.
            tokens: [B] valid tokens; frames: [B] valid frames, of T.
        """
        config = self.config
        levels, valids = self.hierarchy(acoustic, tokens)
        features = self.hierarchy.at_frame_rate(levels, valids, T)
        sparse, weighted, gates = self.hsf2s(features, frames)
        bias, valid = distance_bias(config, acoustic.device), valid_mask(frames, T)
        fine = self.s2d(sparse, weighted, features, bias, valid)
        coarse = torch.zeros_like(fine)
        if self.cmg is not None:
            time = torch.arange(T, device=acoustic.device, dtype=torch.float32) / config.fps
            at_frames = at_times(acoustic, tokens, time * config.sample_rate / config.hop)
            coarse = self.cmg(at_frames, bias, valid)
        return HiSTalkComponents(fine, coarse, sparse, weighted, gates, self.phone_head(levels[1]))

    def forward(self, waveform: Tensor, lengths: Tensor | None = None, topology: str = "histalk") -> HiSTalkOutput:
        """Speech to motion.

        Args:
            waveform: [B, N] float32 at 16 kHz, level-normalised over its clip.
            lengths: [B] valid samples; None = all.
            topology: name of the output layer.

        Raises:
            ValueError: shapes are off, or the checkpoint has no such topology.
        """
        if topology not in self.outputs:
            raise ValueError(f"No output for topology '{topology}'; this model has {', '.join(self.outputs)}.")
        out = self.components(waveform, lengths)
        expand = self.outputs[topology]
        coarse = expand(out.coarse)
        return HiSTalkOutput(coarse + expand(out.fine), out.sparse, out.levels, out.gates, coarse, out.phone_logits)
