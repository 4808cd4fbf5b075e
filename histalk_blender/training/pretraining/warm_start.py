"""Starts for an acoustic extractor that need no labels: log-mel bands, what another extractor hears, or wav2vec 2.0's own.

Each is a loss on sound alone, trained for some minutes by `practise`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

from ...network.wav2vec2 import AcousticExtractor

RISE = 20  # steps over which the learning rate rises
MASKED, SPAN = (
    0.65,
    10,
)  # wav2vec 2.0's share of masked tokens and their run, in tokens (Baevski et al. 2020, section 4.2)
NEGATIVES = 100  # distractors of a masked token, from its own row (section 3.2)
QUANTISER = {"num_codevectors_per_group": 320, "codevector_dim": 256, "proj_codevector_dim": 256}  # as its base
TEMPERATURES = 2.0, 0.5  # of the quantiser's choice, first and last (section 4.2)


def practise(
    parameters: Iterable[nn.Parameter],
    waves: Iterable[Tensor],
    minutes: float,
    rate: float,
    loss_of: Callable[[Tensor, float], tuple[Tensor, Tensor]],
    weight_decay: float = 0.01,
) -> float:
    """Minimise a loss on sound until the minutes are over or the sound ends; the second half cools down.

    Args:
        parameters: what is trained.
        waves: [B, N] rows of sound.
        rate: highest learning rate.
        loss_of: sound and the share of the minutes spent, 0 to 1 -> the loss, and the error to report.

    Returns:
        A running mean of the error; NaN if there was no step.
    """
    parameters = list(parameters)
    optimiser = torch.optim.AdamW(parameters, rate, weight_decay=weight_decay)
    began, error = time.monotonic(), float("nan")
    for step, wave in enumerate(waves):
        spent = (time.monotonic() - began) / (60 * minutes) if minutes else 1.0
        if spent >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / RISE, 2 * (1 - spent))
        loss, shown = loss_of(wave, spent)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        error = shown.item() if step == 0 else 0.95 * error + 0.05 * shown.item()
    return error


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


def hear_bands(extractor: AcousticExtractor, waves: Iterable[Tensor], minutes: float) -> float:
    """Train convolutions and projection alone to give log-mel bands by a linear map.

    Args:
        waves: [B, N] at the extractor's rate.

    Returns:
        The last error, as a share of the bands' variance.
    """
    model, config = extractor.wav2vec2, extractor.config
    head = nn.Linear(config.acoustic_width, 80).to(model.device)
    padding = config.receptive_centre

    def loss_of(wave: Tensor, _: float) -> tuple[Tensor, Tensor]:
        wave = wave.to(model.device)
        features = model.feature_extractor(nn.functional.pad(wave, (padding, padding))).transpose(1, 2)
        hidden, _ = model.feature_projection(features)
        target = log_mel(wave, config.sample_rate, config.hop)[:, : hidden.shape[1]]
        loss = (head(hidden)[:, : target.shape[1]] - target).square().mean()
        return loss, loss

    trained = [*model.feature_extractor.parameters(), *model.feature_projection.parameters(), *head.parameters()]
    return practise(trained, waves, minutes, 2e-3, loss_of)


def follow(extractor: nn.Module, leader: nn.Module, waves: Iterable[Tensor], minutes: float, rate: float) -> float:
    """Distillation: the whole extractor learns to give, by a linear map, another extractor's features.

    Args:
        leader: any extractor of `network.acoustic`, which hears already; it is not trained.
        waves: [B, N] at the extractors' rate.
        rate: of learning.

    Returns:
        The last error, as a share of the features' variance.
    """
    device = next(extractor.parameters()).device
    leader = leader.to(device).eval()
    head = nn.Linear(extractor.config.acoustic_width, leader.config.acoustic_width).to(device)
    extractor.train()

    def loss_of(wave: Tensor, _: float) -> tuple[Tensor, Tensor]:
        wave = wave.to(device)
        lengths = torch.full(wave.shape[:1], wave.shape[1], device=device)
        with torch.no_grad():
            wanted, _ = leader(wave, lengths)
            wanted = (wanted - wanted.mean((0, 1))) / (wanted.std((0, 1)) + 1e-5)
        loss = (head(extractor(wave, lengths)[0]) - wanted).square().mean()
        return loss, loss

    return practise([*extractor.parameters(), *head.parameters()], waves, minutes, rate, loss_of)


def contrast(extractor: AcousticExtractor, waves: Iterable[Tensor], minutes: float, rate: float) -> float:
    """wav2vec 2.0's own self-supervision: tell a masked token's quantised features from a hundred of its row's others.

    The objective is transformers'.

    Args:
        waves: [B, N] at the extractor's rate.
        rate: of learning.

    Returns:
        The last error, as a share of what guessing costs.
    """
    model, padding = extractor.wav2vec2, extractor.config.receptive_centre
    model.config.update(QUANTISER)
    task = Wav2Vec2ForPreTraining(model.config)
    task.wav2vec2 = model
    # transformers leaves out what stands for a masked token where it is not to mask by itself.
    model.masked_spec_embed = nn.Parameter(torch.rand(model.config.hidden_size))
    task.to(model.device).train()

    def loss_of(wave: Tensor, spent: float) -> tuple[Tensor, Tensor]:
        wave = nn.functional.pad(wave.to(model.device), (padding, padding))
        shape = len(wave), int(model._get_feat_extract_output_lengths(wave.shape[1]))
        masked = _compute_mask_indices(shape, MASKED, SPAN)
        others = _sample_negative_indices(shape, NEGATIVES, masked)
        task.set_gumbel_temperature(TEMPERATURES[0] + (TEMPERATURES[1] - TEMPERATURES[0]) * spent)
        masked, others = (torch.from_numpy(part).to(model.device) for part in (masked, others))
        out = task(wave, mask_time_indices=masked, sampled_negative_indices=others)
        return out.loss / masked.sum(), out.contrastive_loss / masked.sum() / math.log(1 + NEGATIVES)

    error = practise(task.parameters(), waves, minutes, rate, loss_of)
    del model.masked_spec_embed
    return error
