"""Log-mel bands, and a start for wav2vec 2.0's convolutions that teaches them to give these."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ...network.wav2vec2 import Wav2Vec2Extractor
from .pretrain import pretrain

LR = 2e-3


def log_mel(waveform: Tensor, rate: int, hop: int, bands: int = 80) -> Tensor:
    """Log-mel bands centred on multiples of the hop, standardised over the batch.

    Args:
        waveform: [B, N].

    Returns:
        [B, N // hop + 1, bands].
    """
    window = torch.hann_window(400, device=waveform.device)
    power = torch.stft(waveform, 512, hop, 400, window, return_complex=True, pad_mode="constant").abs().square()
    edges = torch.linspace(2595 * math.log10(1 + 60 / 700), 2595 * math.log10(1 + 7700 / 700), bands + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    frequency = torch.linspace(0, rate / 2, power.shape[1])
    rising = (frequency[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequency[None]) / (edges[2:] - edges[1:-1])[:, None]
    bank = torch.minimum(rising, falling).clamp(min=0).to(waveform.device)
    mel = (bank @ power + 1e-5).log().transpose(1, 2)
    return (mel - mel.mean((0, 1))) / (mel.std((0, 1)) + 1e-5)


def mel_pretrain(
    extractor: Wav2Vec2Extractor, waves: Iterable[Tensor], minutes: float, clock: Callable[[], float] = time.monotonic
) -> float:
    """Train convolutions and projection alone to give log-mel bands by a linear map.

    Args:
        waves: [B, N] at the extractor's rate.

    Returns:
        The last error, as a share of the bands' variance.
    """
    model, config = extractor.wav2vec2, extractor.config
    device = next(model.parameters()).device
    head = nn.Linear(config.acoustic_width, 80).to(device)
    padding = config.receptive_centre

    def loss_of(wave: Tensor, _: float) -> tuple[Tensor, Tensor]:
        wave = wave.to(device)
        hidden = model.feature_projection(model.feature_extractor(nn.functional.pad(wave, (padding, padding))))
        target = log_mel(wave, config.sample_rate, config.hop)[:, : hidden.shape[1]]
        loss = (head(hidden)[:, : target.shape[1]] - target).square().mean()
        return loss, loss

    trained = [*model.feature_extractor.parameters(), *model.feature_projection.parameters(), *head.parameters()]
    return pretrain(trained, waves, minutes, LR, loss_of, clock)
