"""The baked head alone, in formats that Blender exports."""

from __future__ import annotations

from pathlib import Path

from .output_kind import ClipResult, OutputKind


class _SceneExport(OutputKind):
    needs_blender = True

    def write(self, clip: ClipResult, path: Path) -> None:
        from ...bake.exporters import export

        export(clip.obj, path, *clip.frames)


class Alembic(_SceneExport):
    """Each frame's vertices."""

    name = "abc"


class Usd(_SceneExport):
    """Each frame's vertices and normals."""

    name = "usd"
    suffix = ".usdc"


class Gltf(_SceneExport):
    """Morph targets with ARKit's names and their curves."""

    name = "glb"
    arkit_format = "glTF"


class Fbx(_SceneExport):
    """Shape keys and one value a frame."""

    name = "fbx"
    arkit_format = "FBX"
