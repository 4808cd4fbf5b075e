"""The scene as a film with the sound."""

from __future__ import annotations

from pathlib import Path

from .output_kind import ClipResult, OutputKind


class Film(OutputKind):
    """A preview through the scene's camera."""

    name = "mp4"
    needs_blender = True

    def check_scene(self) -> None:
        from ...bake.shot import check_camera

        check_camera()

    def write(self, clip: ClipResult, path: Path) -> None:
        from ...bake.shot import render_film

        render_film(path, *clip.frames)
