"""Starts for the waveform front end that need no labels: log-mel bands, or what another extractor hears."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..network.acoustic import AcousticExtractor


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


def warm_start(extractor: AcousticExtractor, batches, minutes: float, rate: int, device: str) -> float:
    """Train convolutions and projection alone until the minutes are over.

    Returns:
        The last error, as a share of the bands' variance.
    """
    model, config = extractor.wav2vec2, extractor.config
    head = nn.Linear(config.acoustic_width, 80).to(device)
    parameters = [
        *model.feature_extractor.parameters(), *model.feature_projection.parameters(), *head.parameters()
    ]  # fmt: skip
    optimiser = torch.optim.AdamW(parameters, 2e-3)
    ends, error = time.monotonic() + 60 * minutes, 1.0
    padding = config.receptive_centre
    for wave, *_ in batches:
        left = ends - time.monotonic()
        if left <= 0:
            break
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, left / (30 * minutes))
        wave = wave.to(device)
        features = model.feature_extractor(nn.functional.pad(wave, (padding, padding))).transpose(1, 2)
        hidden, _ = model.feature_projection(features)
        target = log_mel(wave, rate, config.hop)[:, : hidden.shape[1]]
        loss = (head(hidden)[:, : target.shape[1]] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        error = 0.95 * error + 0.05 * loss.item()
    return error


def follow(
    extractor: AcousticExtractor, leader: nn.Module, batches: Iterable, minutes: float, rate: float, device: str
) -> float:
    """Distillation: the whole extractor learns to give, by a linear map, another extractor's features.

    Args:
        leader: any extractor of `network.acoustic`, which hears already; it is not trained.
        batches: endless, the waveform [B, N] first.
        rate: of learning.

    Returns:
        The last error, as a share of the features' variance.
    """
    leader = leader.to(device).eval()
    head = nn.Linear(extractor.config.acoustic_width, leader.config.acoustic_width).to(device)
    parameters = [*extractor.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, rate)
    began, error = time.monotonic(), 1.0
    extractor.train()
    for step, (wave, *_) in enumerate(batches):
        spent = (time.monotonic() - began) / (60 * minutes)
        if spent >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 20, 2 * (1 - spent))
        wave = wave.to(device)
        lengths = torch.full(wave.shape[:1], wave.shape[1], device=device)
        with torch.no_grad():
            wanted, _ = leader(wave, lengths)
            wanted = (wanted - wanted.mean((0, 1))) / (wanted.std((0, 1)) + 1e-5)
        loss = (head(extractor(wave, lengths)[0]) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        error = 0.95 * error + 0.05 * loss.item()
    return error
