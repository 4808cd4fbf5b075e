"""Acoustic feature extractor, raw audio -> frame-level features (paper: F̂_f): wav2vec 2.0, or Whisper's encoder."""

from __future__ import annotations

from torch import nn

from .config import HiSTalkConfig
from .whisper import WhisperExtractor


def acoustic_extractor(config: HiSTalkConfig, pretrained: bool = False) -> nn.Module:
    """What `config.acoustic` names; both take ([B, N] sound, [B] lengths) and give ([B, M, width], [B] tokens).

    Raises:
        HiSTalkError: pre-trained weights are asked for and not there.
    """
    if config.acoustic == "whisper":
        return WhisperExtractor(config)
    from .wav2vec2 import AcousticExtractor  # transformers' import takes longer than ten seconds of speech

    return AcousticExtractor(config, pretrained)
