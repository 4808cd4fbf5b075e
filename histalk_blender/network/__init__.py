"""The paper's network: one file for each box of its figure."""

from .checkpoint import load_checkpoint, save_checkpoint
from .config import PRESETS, HiSTalkConfig, preset, wav2vec2_base, wav2vec2_small, whisper_tiny
from .model import HiSTalk, HiSTalkOutput

__all__ = [
    "PRESETS",
    "HiSTalk",
    "HiSTalkConfig",
    "HiSTalkOutput",
    "load_checkpoint",
    "preset",
    "save_checkpoint",
    "wav2vec2_base",
    "wav2vec2_small",
    "whisper_tiny",
]
