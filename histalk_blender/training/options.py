"""What a training run needs to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..network import HiSTalk
from .datasets import DataSet


@dataclass(frozen=True)
class TrainOptions:
    """Where from, where to, what, how long and on what."""

    corpus: Path
    out: Path
    data: DataSet | None = None  # captured motion to learn from, in place of the corpus and its teacher

    # the network
    preset: str = "whisper-tiny"  # one of `network.PRESETS`
    changes: tuple[tuple[str, object], ...] = ()  # of the preset's config: (field, value)
    build: Callable[..., HiSTalk] = HiSTalk  # what makes a network of a config

    # how it starts
    init: Path | None = None  # a checkpoint to start from, instead of random weights and pretraining
    acoustic: str = (
        ""  # folder of Whisper (for `whisper-tiny`), folder or hub name of wav2vec2-base (for `wav2vec2-base`)
    )
    acoustic_from: Path | None = None  # a checkpoint whose extractor is copied, or distilled if of another kind
    pretrain_minutes: float = 1.0
    contrastive: bool = False  # `wav2vec2-small` pretrains by self-supervision in place of log-mel bands

    # how long
    minutes: float = 180.0  # of training in all, over every resumption
    steps: int = 0  # where to stop before the minutes are over; 0 = the minutes decide
    clock: Callable[[], float] = time.monotonic  # seconds that minutes are counted by
    save_minutes: float = 2.0
    resume: bool = True

    # on what
    row_seconds: tuple[float, ...] = (3.0, 4.0, 6.0, 12.0)  # lengths of a batch's rows, one drawn for each batch
    batch_seconds: float = 48.0  # of speech in a batch, of all processes together
    learning_rate: float = 1e-3
    acoustic_lr_share: float = 0.2  # of the learning rate, for an extractor that is trained already
    seed: int = 0
    workers: int = 1
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    bfloat16: bool = field(default_factory=torch.cuda.is_available)

    @property
    def checkpoint(self) -> Path:
        """Where the half-precision checkpoint goes."""
        return self.out / f"histalk-{self.preset}.safetensors"

    @property
    def state(self) -> Path:
        """Where the state goes that a run resumes from."""
        return self.out / "state.pt"

    def unfinished(self, elapsed: float, step: int) -> bool:
        """Whether a run of so many seconds and steps has further to go."""
        return elapsed < 60 * self.minutes and not 0 < self.steps <= step
