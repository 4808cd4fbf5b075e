"""Distillation: an extractor learns another one's features."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ...network.wav2vec2 import Wav2Vec2Extractor
from ...network.whisper import WhisperExtractor
from .pretrain import pretrain


def distill(
    extractor: Wav2Vec2Extractor | WhisperExtractor,
    teacher: Wav2Vec2Extractor | WhisperExtractor,
    waves: Iterable[Tensor],
    minutes: float,
    lr: float,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Train the whole extractor to give, by a linear map, another extractor's features.

    Args:
        teacher: any extractor of `network.acoustic`, which is trained already and stays as it is.
        waves: [B, N] at the extractors' rate.
        lr: highest learning rate.

    Returns:
        The last error, as a share of the features' variance.
    """
    device = next(extractor.parameters()).device
    teacher = teacher.to(device).eval()
    head = nn.Linear(extractor.config.acoustic_width, teacher.config.acoustic_width).to(device)
    extractor.train()

    def loss_of(wave: Tensor, _: float) -> tuple[Tensor, Tensor]:
        wave = wave.to(device)
        lengths = torch.full(wave.shape[:1], wave.shape[1], device=device)
        with torch.no_grad():
            wanted, _ = teacher(wave, lengths)
            wanted = (wanted - wanted.mean((0, 1))) / (wanted.std((0, 1)) + 1e-5)
        loss = (head(extractor(wave, lengths)[0]) - wanted).square().mean()
        return loss, loss

    return pretrain([*extractor.parameters(), *head.parameters()], waves, minutes, lr, loss_of, clock)
