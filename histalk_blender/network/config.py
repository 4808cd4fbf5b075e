"""Every number of the network in one frozen place; the checkpoint carries it as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class HiSTalkConfig:
    """Sizes, rates and switches of the whole model (method.md sections 2 to 4).

    The paper gives no widths, layers or gate shapes; each choice of ours has its reason beside it.
    """

    sample_rate: int = 16_000  # samples a second; wav2vec 2.0's rate
    fps: float = 30.0  # frames a second; VOCASET's rate after halving
    landmarks: int = 68  # iBUG scheme, method.md section 4
    landmark_scale: float = 0.01  # metres; keeps the landmark heads' raw outputs near one

    acoustic: str = "wav2vec2"  # the extractor: "wav2vec2" on the waveform, or "whisper" on mel bands

    # wav2vec 2.0. The defaults are the `wave` preset: a front end of three convolutions whose first
    # is a 25 ms filter bank, because seven narrow ones cost ten times as much on a CPU.
    conv_dim: tuple[int, ...] = (256, 256, 256)
    conv_kernel: tuple[int, ...] = (400, 4, 3)
    conv_stride: tuple[int, ...] = (80, 2, 2)  # product 320 samples: the 20 ms hop the hierarchy expects
    conv_norm: str = "batch"  # "batch": fixed at inference, so windows agree; "group": as wav2vec2-base
    filter_range: tuple[float, float] = (80.0, 7600.0)  # Hz, the filter bank's outer centres: speech at 16 kHz
    acoustic_width: int = 256  # a third of wav2vec2-base's: two cores hear an hour in a minute or two
    acoustic_layers: int = 6  # half of wav2vec2-base's
    acoustic_heads: int = 4  # 64 channels each, as wav2vec2-base's
    acoustic_feed_forward: int = 1024  # four times the width, as wav2vec2-base's
    acoustic_span: int = 100  # tokens each way that attention reaches, 2 s; 0 = all: then windows no longer agree
    acoustic_position_kernel: int = 64  # tokens; 1.28 s
    acoustic_dropout: float = 0.05  # half of wav2vec2-base's, as the network is small
    acoustic_source: str = ""  # folder or hub name of wav2vec 2.0's pre-trained weights, used by `base` only

    # SpeechFormer++ (method.md section 3): windows and merges in tokens at the 20 ms hop; 0 = global.
    hierarchy_width: int = 256  # as the acoustic features; its feed-forward is half of it, as published
    hierarchy_heads: int = 8  # as published
    hierarchy_layers: tuple[int, int, int, int] = (1, 1, 2, 2)  # half of the published 2, 2, 4, 4: small data
    hierarchy_windows: tuple[int, int, int, int] = (3, 11, 9, 0)
    hierarchy_merges: tuple[int, int, int] = (2, 6, 4)
    hierarchy_dropout: float = 0.1  # as published
    word_token_tokens: int = 48  # frame tokens a word token's segment spans: about a second, whole merges
    phones: int = 40  # classes of the auxiliary phoneme target: 39 ARPAbet phones and silence

    gate_reduction: int = 4  # squeeze and excitation: 68 -> 17 -> 68
    gate_squeeze_seconds: float = 1.0  # a neighbourhood, not the clip: a gate must not depend on clip length

    # S2D and the coarse motion generator.
    branch_width: int = 128  # there are five branches, each fed with features that are worked out already
    branch_layers: int = 1  # of a branch: five of them must stay cheap on a CPU
    branch_heads: int = 4  # one for each reach from a syllable to a phrase, see distance_slopes
    branch_feed_forward: int = 2  # times the width
    branch_dropout: float = 0.05  # as the acoustic Transformer's
    coarse_layers: int = 1  # of the coarse motion generator, which the figures call light
    distance_slopes: tuple[float, float] = (2.0, 32.0)  # a second; attention of the first and last head fades so fast
    branch_span: float = 5.0  # seconds each way that attention reaches: what is cut off is below 0.001 mm of motion
    distance_fade: float = 20.0  # and a head that fades faster, as far as to where this is the exponent; 14 costs 0.03 mm
    dense_components: int = 64  # rank of a topology's output layer; 52 units span the teacher's motion
    coarse: bool = True  # version B of the paper; off = version A in parallel form

    # What the paper's ablations take away (`histalk experiments`); the chain of extractors stays.
    levels: tuple[str, ...] = ("frame", "phoneme", "word", "utterance")  # that move landmarks and have a branch
    gating: bool = True  # squeeze and excitation; off = the levels' plain mean
    single_branch: bool = False  # S_pt's alone in place of five
    fusion: bool = True  # attention over the branches; off = their plain mean

    topologies: tuple[tuple[str, int], ...] = (("histalk", 0),)  # name, vertices

    @property
    def hop(self) -> int:
        """Samples between two acoustic tokens."""
        hop = 1
        for stride in self.conv_stride:
            hop *= stride
        return hop

    @property
    def receptive_centre(self) -> int:
        """Samples from a token's first input sample to its middle."""
        centre, jump = 0.0, 1
        for kernel, stride in zip(self.conv_kernel, self.conv_stride):
            centre += (kernel - 1) / 2 * jump
            jump *= stride
        return round(centre)

    @property
    def receptive_field(self) -> int:
        """Samples that one token sees before the acoustic Transformer."""
        field, jump = 1, 1
        for kernel, stride in zip(self.conv_kernel, self.conv_stride):
            field += (kernel - 1) * jump
            jump *= stride
        return field

    def frames(self, samples: int) -> int:
        """Animation frames for a clip; frame i stands at i / fps seconds."""
        return max(1, round(samples / self.sample_rate * self.fps))

    def tokens(self, samples: int) -> int:
        """Acoustic tokens for a clip; token j is centred at j · hop samples."""
        return samples // self.hop + 1

    @property
    def period(self) -> int:
        """The fewest frames that hold whole word segments and whole utterance tokens: windows start there."""
        tokens = math.lcm(math.prod(self.hierarchy_merges), self.word_token_tokens)
        frames = Fraction(tokens * self.hop, self.sample_rate) * Fraction(self.fps).limit_denominator(1001)
        return frames.numerator

    def with_topology(self, name: str, vertices: int) -> HiSTalkConfig:
        """The same config with one topology added or replaced."""
        others = tuple(item for item in self.topologies if item[0] != name and item[1])
        return dataclasses.replace(self, topologies=(*others, (name, vertices)))

    def to_json(self) -> str:
        """The config as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> HiSTalkConfig:
        """The config from `to_json`'s text.

        Raises:
            ValueError: a field is unknown to this version.
        """
        values = json.loads(text)
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown config fields: {', '.join(sorted(unknown))}")

        def as_tuple(value):
            return tuple(as_tuple(item) for item in value) if isinstance(value, list) else value

        return cls(**{name: as_tuple(value) for name, value in values.items()})


def small(vertices: int) -> HiSTalkConfig:
    """The bundled preset for our own head of `vertices` vertices: it hears with an encoder of Whisper tiny's size."""
    return HiSTalkConfig(
        acoustic="whisper", acoustic_width=384, acoustic_layers=4, acoustic_heads=6, acoustic_feed_forward=1536
    ).with_topology("histalk", vertices)


def wave(vertices: int) -> HiSTalkConfig:
    """wav2vec 2.0 at a third of its base's width, on the waveform itself, for our own head."""
    return HiSTalkConfig().with_topology("histalk", vertices)


def base(vertices: int, source: str = "facebook/wav2vec2-base-960h") -> HiSTalkConfig:
    """wav2vec2-base (768 wide), its weights from a local folder or a hub name."""
    return HiSTalkConfig(
        conv_dim=(512,) * 7,
        conv_kernel=(10, 3, 3, 3, 3, 2, 2),
        conv_stride=(5, 2, 2, 2, 2, 2, 2),
        conv_norm="group",
        acoustic_width=768,
        acoustic_layers=12,
        acoustic_heads=12,
        acoustic_feed_forward=3072,
        acoustic_position_kernel=128,
        acoustic_source=source,
        hierarchy_layers=(2, 2, 4, 4),
        branch_width=256,
    ).with_topology("histalk", vertices)


def preset(name: str, vertices: int, source: str = "") -> HiSTalkConfig:
    """`small`, `wave` or `base`; `source` is where `base` finds its wav2vec 2.0."""
    return base(vertices, source) if name == "base" else {"small": small, "wave": wave}[name](vertices)
