"""ARKit weights as Live Link Face records them."""

from __future__ import annotations

from pathlib import Path

from ...motion.arkit_files import write_arkit_weights
from .output_kind import ClipResult, OutputKind


class LiveLink(OutputKind):
    """A .csv for Unreal, MotionBuilder, Maya and Faceit."""

    name = "livelink"
    suffix = ".csv"

    def write(self, clip: ClipResult, path: Path) -> None:
        write_arkit_weights(path, clip.arkit_weights, clip.fps, "livelink")
