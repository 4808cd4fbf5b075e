"""The open scene with the baked head, as a .blend."""

from __future__ import annotations

from pathlib import Path

from .output_kind import ClipResult, OutputKind


class Blend(OutputKind):
    """The scene, with the sound as a strip."""

    name = "blend"
    needs_blender = True

    def write(self, clip: ClipResult, path: Path) -> None:
        from ...bake.shot import save_shot

        save_shot(path)
