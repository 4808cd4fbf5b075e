"""Acoustic feature extractor, raw audio -> frame-level features (paper: F̂_f): wav2vec 2.0, or Whisper's encoder."""

from __future__ import annotations

from torch import nn

from .config import HiSTalkConfig
from .wav2vec2 import Wav2Vec2Extractor
from .whisper import WhisperExtractor


def acoustic_extractor(config: HiSTalkConfig, pretrained: bool = False) -> nn.Module:
    """The extractor that `config.acoustic` names; both map ([B, N] sound, [B] lengths) to ([B, M, width], [B] tokens).

    Raises:
        HiSTalkError: pre-trained weights are asked for and cannot be read.
    """
    return WhisperExtractor(config) if config.acoustic == "whisper" else Wav2Vec2Extractor(config, pretrained)
