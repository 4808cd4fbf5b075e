"""Every size, rate and switch of the network, frozen; a checkpoint stores it as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..audio import SAMPLE_RATE
from .limits import SWITCH, OneOf, Real, Several, Sized, Text, Whole, broken_rules, within

LEVELS = ("frame", "phoneme", "word", "utterance")
HOP = 320  # samples between two acoustic tokens, 20 ms, as Whisper's bands and the hierarchy need
MOST_TEXT = 100_000  # characters of a config; ours have about 2000
WIDTH, LAYERS, HEADS, SHARE = Whole(8, 4096), Whole(1, 64), Whole(1, 128), Real(0, 0.99)
TOPOLOGY = Text(r"[A-Za-z0-9_-]{1,64}", "a name of letters and digits")


@dataclass(frozen=True)
class HiSTalkConfig:
    """Sizes, rates and switches of the whole model (docs/method.md sections 2 to 4).

    The paper gives no widths, layers or gate shapes; each choice has its reason beside it.
    """

    sample_rate: int = within(SAMPLE_RATE, Whole(SAMPLE_RATE, SAMPLE_RATE))  # samples a second; wav2vec 2.0's rate
    fps: float = within(30.0, Real(1, 240))  # frames a second; VOCASET's rate after halving
    landmarks: int = within(68, Whole(68, 68))  # iBUG scheme, docs/method.md section 4
    landmark_scale: float = within(0.01, Real(1e-6, 1))  # metres; the landmark heads' raw outputs are then near one

    # the extractor: "wav2vec2" on the waveform, or "whisper" on mel bands
    acoustic: str = within("wav2vec2", OneOf(("wav2vec2", "whisper")))

    # wav2vec 2.0. The defaults are the `wav2vec2-small` preset: a front end of three convolutions whose first
    # is a 25 ms filter bank, because seven narrow ones cost ten times as much on a CPU.
    conv_dim: tuple[int, ...] = within((256, 256, 256), Several(Whole(8, 4096), 1, 16))
    conv_kernel: tuple[int, ...] = within((400, 4, 3), Several(Whole(1, 4096), 1, 16))
    # product 320 samples: the 20 ms hop the hierarchy expects
    conv_stride: tuple[int, ...] = within((80, 2, 2), Several(Whole(1, 320), 1, 16))
    # "batch": fixed at inference, so windows agree; "group": as wav2vec2-base
    conv_norm: str = within("batch", OneOf(("batch", "group")))
    # Hz, the filter bank's outer centres: speech at 16 kHz
    filter_range: tuple[float, float] = within((80.0, 7600.0), Several(Real(1, 8000), 2, 2))
    # a third of wav2vec2-base's: an hour of speech takes two cores a minute or two
    acoustic_width: int = within(256, WIDTH)
    acoustic_layers: int = within(6, LAYERS)  # half of wav2vec2-base's
    acoustic_heads: int = within(4, HEADS)  # 64 channels each, as wav2vec2-base's
    acoustic_feed_forward: int = within(1024, Whole(1, 16_384))  # four times the width, as wav2vec2-base's
    # tokens each way that attention reaches, 2 s; 0 = all: then windows no longer agree
    acoustic_span: int = within(100, Whole(0, 10_000))
    acoustic_position_kernel: int = within(64, Whole(1, 1024))  # tokens; 1.28 s
    acoustic_dropout: float = within(0.05, SHARE)  # half of wav2vec2-base's, as the network is small
    # folder or hub name of wav2vec 2.0's pre-trained weights, used by `wav2vec2-base` only
    acoustic_source: str = within("", Text(r"[^\x00]{0,4096}", "a path"))

    # SpeechFormer++ (docs/method.md section 3): windows and merges in tokens at the 20 ms hop; 0 = global.
    hierarchy_width: int = within(256, WIDTH)  # as the acoustic features; its feed-forward is half of it, as published
    hierarchy_heads: int = within(8, HEADS)  # as published
    # half of the published 2, 2, 4, 4: small data
    hierarchy_layers: tuple[int, int, int, int] = within((1, 1, 2, 2), Several(LAYERS, 4, 4))
    hierarchy_windows: tuple[int, int, int, int] = within((3, 11, 9, 0), Several(Whole(0, 1001), 4, 4))
    hierarchy_merges: tuple[int, int, int] = within((2, 6, 4), Several(Whole(1, 64), 3, 3))
    hierarchy_dropout: float = within(0.1, SHARE)  # as published
    # frame tokens of a word token's segment: about a second, and whole merges
    word_token_tokens: int = within(48, Whole(1, 4800))
    phones: int = within(40, Whole(1, 1000))  # classes of the auxiliary phoneme target: 39 ARPAbet phones and silence

    gate_reduction: int = within(4, Whole(1, 68))  # squeeze and excitation: 68 -> 17 -> 68
    # a neighbourhood, not the clip: a gate must not depend on clip length
    gate_squeeze_seconds: float = within(1.0, Real(0, 60))

    # S2D and the coarse motion generator.
    # small, as there are five branches and each gets features that are already computed
    branch_width: int = within(128, WIDTH)
    branch_layers: int = within(1, LAYERS)  # of a branch: five of them must stay cheap on a CPU
    branch_heads: int = within(4, HEADS)  # one for each reach from a syllable to a phrase, see distance_slopes
    branch_feed_forward: int = within(2, Whole(1, 16))  # times the width
    branch_dropout: float = within(0.05, SHARE)  # as the acoustic Transformer's
    coarse_layers: int = within(1, LAYERS)  # of the coarse motion generator, which the figures call light
    # per second, how fast attention of the first and of the last head fades
    distance_slopes: tuple[float, float] = within((2.0, 32.0), Several(Real(1e-3, 1e3), 2, 2))
    # seconds each way that attention reaches; what is cut off changes the motion by less than 0.001 mm
    branch_span: float = within(5.0, Real(0.05, 60))
    # a head that fades faster reaches to where its exponent is this; 14 would cost 0.03 mm
    distance_fade: float = within(20.0, Real(0.1, 1000))
    # rank of a topology's output layer; 52 ARKit blendshapes span the teacher's motion
    dense_components: int = within(64, Whole(1, 4096))
    coarse: bool = within(True, SWITCH)  # version B of the paper; off = version A in parallel form

    # What the paper's ablations remove (`histalk experiments`); the chain of extractors stays.
    # levels that move landmarks and have a branch
    levels: tuple[str, ...] = within(LEVELS, Several(OneOf(LEVELS), 1, 4, distinct=True))
    gating: bool = within(True, SWITCH)  # squeeze and excitation; off = the levels' plain mean
    single_branch: bool = within(False, SWITCH)  # the sparse motion's alone in place of five
    fusion: bool = within(True, SWITCH)  # attention over the branches; off = their plain mean

    # name, vertices
    topologies: tuple[tuple[str, int], ...] = within((("histalk", 0),), Sized(TOPOLOGY, Whole(0, 2_000_000), 16))

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
        """Samples that one token depends on before the acoustic Transformer."""
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
        """The fewest frames that hold whole word segments and utterance tokens; windows start at multiples of it."""
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
        """The config from `to_json`'s text, which may come from anywhere; missing fields get the default.

        Raises:
            ValueError: it is not such a text, a field is unknown to this version, a value is not allowed, or two of
                them contradict each other.
        """
        if len(text) > MOST_TEXT:
            raise ValueError(f"it has {len(text)} characters")
        try:
            values = json.loads(text, object_pairs_hook=_without_duplicates)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        if not isinstance(values, dict):
            raise ValueError("it is not a JSON object")
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown config fields: {', '.join(sorted(unknown))}")
        fields: dict[str, Any] = {name: _as_tuple(value) for name, value in values.items()}
        config = cls(**fields)
        broken = broken_rules(config) or config._contradictions()
        if broken:
            raise ValueError(", ".join(broken))
        return config

    def _contradictions(self) -> list[str]:
        """Part of a sentence for each pair of fields that contradict each other."""
        whole = math.prod(self.hierarchy_merges)
        lengths = {len(self.conv_dim), len(self.conv_kernel), len(self.conv_stride)}
        claims = {
            "conv_dim, conv_kernel and conv_stride differ in length": len(lengths) == 1,
            f"conv_stride does not multiply to {HOP}": self.hop == HOP,
            "the convolutions span more than a second": self.receptive_field <= self.sample_rate,
            "filter_range does not rise": self.filter_range[0] < self.filter_range[1],
            "acoustic_heads do not divide acoustic_width": self.acoustic_width % self.acoustic_heads == 0,
            "hierarchy_heads do not divide hierarchy_width": self.hierarchy_width % self.hierarchy_heads == 0,
            "hierarchy_width is odd": self.hierarchy_width % 2 == 0,
            "branch_heads do not divide branch_width": self.branch_width % self.branch_heads == 0,
            "hierarchy_windows are even": all(window % 2 or not window for window in self.hierarchy_windows),
            f"word_token_tokens is no multiple of the merges' {whole}": self.word_token_tokens % whole == 0,
            "a topology has no vertices": all(vertices for _, vertices in self.topologies),
        }
        return [claim for claim, holds in claims.items() if not holds]


def _as_tuple(value: object) -> object:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a field twice")
    return found


def whisper_tiny(vertices: int) -> HiSTalkConfig:
    """The bundled preset for our own head of `vertices` vertices: an encoder of Whisper tiny's size."""
    return HiSTalkConfig(
        acoustic="whisper", acoustic_width=384, acoustic_layers=4, acoustic_heads=6, acoustic_feed_forward=1536
    ).with_topology("histalk", vertices)


def wav2vec2_small(vertices: int) -> HiSTalkConfig:
    """wav2vec 2.0 at a third of its base's width, on the waveform itself, for our own head."""
    return HiSTalkConfig().with_topology("histalk", vertices)


def wav2vec2_base(vertices: int, source: str = "facebook/wav2vec2-base-960h") -> HiSTalkConfig:
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


PRESETS = {"whisper-tiny": whisper_tiny, "wav2vec2-small": wav2vec2_small, "wav2vec2-base": wav2vec2_base}


def preset(name: str, vertices: int, source: str = "") -> HiSTalkConfig:
    """One of `PRESETS`; `source` is where one that starts from wav2vec 2.0's pre-trained weights finds them."""
    config = PRESETS[name](vertices)
    return dataclasses.replace(config, acoustic_source=source) if config.acoustic_source else config
