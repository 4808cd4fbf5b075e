"""The whole model: HSF2S, S2D and the CMG, read top-down."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
class AcousticFeatures:
    """What the acoustic extractor gives; B clips, M tokens of 20 ms."""

    values: Tensor  # [B, M, acoustic width], zero where invalid
    tokens: Tensor  # [B] valid tokens
    frames: Tensor  # [B] valid animation frames
    T: int  # animation frames of the longest clip


@dataclass(frozen=True)
class LandmarkPrediction:
    """The sparse motion, and what the dense decoders read beside it; T frames."""

    sparse: Tensor  # [B, T, 68, 3] metres (paper: S_pt)
    levels: Tensor  # [B, 4, T, 68, 3] metres for frame, phoneme, word, utterance (paper: x·F_x); sums to `sparse`
    gates: Tensor  # [B, 4, T, 68] in (0, 1)
    speech: list[Tensor]  # four of [B, T, hierarchy width]: each level's features at frame rate
    phone_logits: Tensor  # [B, pairs of tokens, phones]

    def edited(self, offsets: Tensor) -> LandmarkPrediction:
        """The same with landmarks moved by [B, T, 68, 3] metres; each level moves by its gate's share of it.

        How far the dense motion follows depends on the training. The bundled weights rely on the speech features: where
        the lower lip's landmarks move down by 3 mm in ten frames, the dense lip moves down by 0.03 mm.
        """
        shares = self.gates / self.gates.sum(1, keepdim=True)
        levels = self.levels + shares[..., None] * offsets[:, None]
        return replace(self, sparse=self.sparse + offsets, levels=levels)


@dataclass(frozen=True)
class HiSTalkOutput:
    """One forward pass; B clips, T frames, V vertices."""

    displacements: Tensor  # [B, T, V, 3] metres: coarse and fine together (paper: M_pt = C_pt + D_pt)
    sparse: Tensor  # see `LandmarkPrediction`
    levels: Tensor
    gates: Tensor
    coarse: Tensor  # [B, T, V, 3] metres (paper: C_pt), zero when the CMG is off
    phone_logits: Tensor


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
        self.source = ""  # the file of the weights, for messages
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
        """Add or replace a topology's output layer, with a basis [components, V, 3] in metres."""
        self.config = self.config.with_topology(topology, basis.shape[1])
        self.outputs[topology] = DenseOutput(basis.shape[0], basis.shape[1]).to(basis.device)
        self.outputs[topology].basis.data.copy_(basis)

    def encode(self, waveform: Tensor, lengths: Tensor | None = None) -> AcousticFeatures:
        """Sound to acoustic features.

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
        T = self.config.frames(N)
        frames = (lengths / self.config.sample_rate * self.config.fps).round().long().clamp(1, T)
        return AcousticFeatures(*self.acoustic(waveform, lengths), frames, T)

    def predict_landmarks(self, features: AcousticFeatures) -> LandmarkPrediction:
        """Acoustic features to sparse motion, through the hierarchy and HSF2S."""
        tokens, valids = self.hierarchy(features.values, features.tokens)
        speech = self.hierarchy.at_frame_rate(tokens, valids, features.T)
        return LandmarkPrediction(*self.hsf2s(speech, features.frames), speech, self.phone_head(tokens[1]))

    def predict_dense(self, features: AcousticFeatures, landmarks: LandmarkPrediction) -> HiSTalkComponents:
        """Sparse motion, as predicted or edited, to dense motion, through S2D; the CMG adds its own from the sound."""
        config, acoustic = self.config, features.values
        bias, valid = distance_bias(config, acoustic.device), valid_mask(features.frames, features.T)
        fine = self.s2d(landmarks.sparse, landmarks.levels, landmarks.speech, bias, valid)
        coarse = torch.zeros_like(fine)
        if self.cmg is not None:
            time = torch.arange(features.T, device=acoustic.device, dtype=torch.float32) / config.fps
            at_frames = at_times(acoustic, features.tokens, time * config.sample_rate / config.hop)
            coarse = self.cmg(at_frames, bias, valid)
        return HiSTalkComponents(
            fine, coarse, landmarks.sparse, landmarks.levels, landmarks.gates, landmarks.phone_logits
        )

    def from_features(self, features: AcousticFeatures) -> HiSTalkComponents:
        """Everything between the acoustic extractor and the topology's output layer."""
        return self.predict_dense(features, self.predict_landmarks(features))

    def components(self, waveform: Tensor, lengths: Tensor | None = None) -> HiSTalkComponents:
        """Everything up to the topology's output layer; arguments and errors as `encode`."""
        return self.from_features(self.encode(waveform, lengths))

    def forward(self, waveform: Tensor, lengths: Tensor | None = None, topology: str = "histalk") -> HiSTalkOutput:
        """Speech to motion.

        Args:
            waveform: [B, N] float32 at 16 kHz, level-normalised over its clip.
            lengths: [B] valid samples; None = all.
            topology: name of the output layer.

        Raises:
            ValueError: a shape is wrong, or there is no output layer for the topology.
        """
        if topology not in self.outputs:
            raise ValueError(f"No output for topology '{topology}'; this model has {', '.join(self.outputs)}.")
        out = self.components(waveform, lengths)
        expand = self.outputs[topology]
        coarse = expand(out.coarse)
        return HiSTalkOutput(coarse + expand(out.fine), out.sparse, out.levels, out.gates, coarse, out.phone_logits)
