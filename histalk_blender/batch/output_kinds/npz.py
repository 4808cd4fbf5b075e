"""Dense motion for other programs."""

from __future__ import annotations

from pathlib import Path

from .output_kind import ClipResult, OutputKind


class Npz(OutputKind):
    """`displacements` [T, V, 3] in metres, `neutral_vertices`, `fps` and `topology`."""

    name = "npz"

    def write(self, clip: ClipResult, path: Path) -> None:
        from ...synthesis import save_motion

        save_motion(path, clip.motion, {"neutral_vertices": clip.basis_positions, "topology": clip.topology.name})
