"""Whisper's encoder for clips of any length: its absolute positions are turned into relative ones, without labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ...errors import HiSTalkError
from ...network.config import HiSTalkConfig
from ...network.whisper import BANDS, WhisperExtractor, convolved
from ...runtime.output import printable
from .pretrain import pretrain

POSITIONS = 1500  # tokens of Whisper's 30 s
AVERAGED = 80  # batches that a position's mean features are computed from
LR = 3e-4


def read_encoder(source: Path) -> dict[str, Tensor]:
    """The weights of Whisper's encoder, as `transformers` names them.

    Args:
        source: a local folder with transformers' config.json and model.safetensors; nothing is downloaded.

    Raises:
        HiSTalkError: the folder holds no Whisper encoder, or a damaged one.
    """
    try:
        if not Path(source).is_dir():
            raise OSError("there is no such folder")
        loaded: Any = WhisperModel.from_pretrained(
            source, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        model, report = loaded
        if any(name.startswith("encoder.") for name in report["missing_keys"]):  # they would be random
            raise ValueError("it lacks some of the encoder's weights")
        weights = model.encoder.state_dict()
        if not all(value.isfinite().all() for value in weights.values()):
            raise ValueError("it holds NaN or infinities")
    except Exception as error:  # transformers fails on damaged files in many ways
        raise HiSTalkError(
            f"No Whisper encoder at '{source}' ({printable(error, 120)}): name a folder with "
            "transformers' config.json and model.safetensors, as of openai/whisper-tiny.en."
        ) from error
    return weights


class WhisperOriginal(nn.Module):
    """Whisper's encoder as published, on clips shorter than its 30 s."""

    def __init__(self, weights: dict[str, Tensor], config: HiSTalkConfig):
        super().__init__()
        self.encoder = WhisperEncoder(
            WhisperConfig(
                num_mel_bins=BANDS,
                d_model=config.acoustic_width,
                encoder_layers=config.acoustic_layers,
                encoder_attention_heads=config.acoustic_heads,
                encoder_ffn_dim=config.acoustic_feed_forward,
                max_source_positions=POSITIONS,
            )
        )
        try:
            self.encoder.load_state_dict(weights)
        except RuntimeError as error:
            raise HiSTalkError(f"This Whisper is not of the preset's size, which is that of tiny: {error}") from error
        self.eval()

    def forward(self, bands: Tensor, first: int) -> list[Tensor]:
        """Mel bands of M tokens -> the inputs of each layer and the last output, as if token 0 stood at `first`."""
        hidden = convolved(self.encoder, bands)
        out = [hidden + self.encoder.embed_positions.weight[first : first + hidden.shape[1]]]
        for layer in self.encoder.layers:
            out.append(layer(out[-1], None))
        return [*out[:-1], self.encoder.layer_norm(out[-1])]


def transfer_from_whisper(
    extractor: WhisperExtractor,
    source: Path,
    waves: Iterable[Tensor],
    minutes: float,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Give the extractor Whisper's features without Whisper's absolute positions.

    What a distance adds to each head's attention is first measured on sound; then all weights are trained towards the
    original's features until the minutes are over.

    Args:
        extractor: in the preset's size, on any device.
        source: see `read_encoder`.
        waves: [B, N] rows of sound at 16 kHz.
        minutes: of training, or until the waves end.
        clock: seconds that the minutes are counted by.

    Returns:
        The last error of the features, as a share of their variance.

    Raises:
        HiSTalkError: the source is missing or of another size.
    """
    weights = read_encoder(source)
    device = extractor.apart.device
    original = WhisperOriginal(weights, extractor.config).to(device)
    positions = weights.pop("embed_positions.weight")
    extractor.encoder.load_state_dict(weights | {"embed_positions.weight": positions.mean(0, keepdim=True)})
    random = np.random.default_rng(0)
    waves = iter(waves)
    extractor.eval()
    with torch.no_grad():
        _measure_distances(extractor, original, next(waves).to(device))
        means = _position_means(extractor, original, waves)
    extractor.train()

    def loss_of(wave: Tensor, _: float) -> tuple[Tensor, Tensor]:
        wave = wave.to(device)
        M = extractor.config.tokens(wave.shape[1])
        with torch.no_grad():
            bands = extractor.log_mel(wave, M)
            first = int(random.integers(0, POSITIONS - M))
            wanted = [x - mean[first : first + M] for x, mean in zip(original(bands, first), means)]
        shown = extractor.inside(bands, torch.ones(len(wave), M, dtype=torch.bool, device=device))
        errors = [((a - b).square().mean() / b.var()) for a, b in zip(shown[1:], wanted[1:])]
        return sum(errors) + 2 * errors[-1], errors[-1]

    return pretrain(extractor.parameters(), waves, minutes, LR, loss_of, clock, weight_decay=0.0)


def _measure_distances(extractor: WhisperExtractor, original: WhisperOriginal, wave: Tensor) -> None:
    """Set `apart` to what a distance adds to a head's logits in the original but not in a copy without positions."""
    span = extractor.config.acoustic_span
    bands = extractor.log_mel(wave, extractor.config.tokens(wave.shape[1]))
    own = extractor.placed(convolved(extractor.encoder, bands))
    valid = torch.ones(own.shape[:2], dtype=torch.bool, device=own.device)
    for i, (layer, theirs) in enumerate(zip(extractor.encoder.layers, original(bands, 0))):
        difference = _logits(layer, theirs) - _logits(layer, own)  # [B, heads, M, M]
        for distance in range(-span, span + 1):
            if abs(distance) < own.shape[1]:
                extractor.apart[i, :, span + distance] = difference.diagonal(distance, -2, -1).mean((0, -1))
        own = layer(own, extractor.apart[i], valid)


def _position_means(extractor: WhisperExtractor, original: WhisperOriginal, waves: Iterable[Tensor]) -> list[Tensor]:
    """What each position adds to the original's features, whatever is said there: [POSITIONS, width] of each layer.

    Half of the variance of Whisper's output is where a token stands, which the extractor need not learn.
    """
    sums: list[Tensor | float] = [0.0] * (extractor.config.acoustic_layers + 1)
    counts = torch.zeros(POSITIONS, 1, device=extractor.apart.device)
    first = 0
    for _, wave in zip(range(AVERAGED), waves):
        M = extractor.config.tokens(wave.shape[1])
        first = first % (POSITIONS - M + 1)
        bands = extractor.log_mel(wave.to(counts.device), M)
        counts[first : first + M] += len(wave)
        for i, x in enumerate(original(bands, first)):
            sums[i] = sums[i] + nn.functional.pad(x.sum(0), (0, 0, first, POSITIONS - first - M))
        first += M // 2
    means = [total / counts.clamp(min=1) for total in sums]
    return [x - x.mean(0) for x in means]


def _logits(layer: Any, hidden: Tensor) -> Tensor:
    attention, hidden = layer.self_attn, layer.self_attn_layer_norm(hidden)
    query, key = (
        projection(hidden).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj)
    )
    return query @ key.transpose(-1, -2) * attention.scaling
