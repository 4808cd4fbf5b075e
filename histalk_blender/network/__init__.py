"""The paper's network and nothing else: one file a box of its figure."""

from .checkpoint import load_checkpoint, save_checkpoint
from .config import HiSTalkConfig, base, preset, small, wave
from .model import HiSTalk, HiSTalkOutput

__all__ = [
    "HiSTalk",
    "HiSTalkConfig",
    "HiSTalkOutput",
    "base",
    "load_checkpoint",
    "preset",
    "save_checkpoint",
    "small",
    "wave",
]
