"""The paper's network and nothing else: one file a box of its figure."""

from .checkpoint import load_checkpoint, save_checkpoint
from .config import HiSTalkConfig, preset
from .model import HiSTalk, HiSTalkOutput

__all__ = ["HiSTalk", "HiSTalkConfig", "HiSTalkOutput", "load_checkpoint", "preset", "save_checkpoint"]
