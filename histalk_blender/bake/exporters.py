"""The open scene's head as Alembic, USD, glTF or FBX, for other programs."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import bpy

from ..errors import HiSTalkError
from ..head.arkit_names import match_names
from ..runtime.output import silence_fd
from .actions import curve_bags
from .arkit_rig import key_names
from .blender_add_ons import add_on_enabled
from .checks import visibility_warnings
from .curves import key_path
from .fbx import write_fbx
from .record import SAVED_VALUES
from .writing import blender_output

GLTF = "io_scene_gltf2"


def export(obj, path: Path, first: int, last: int) -> None:
    """Write one object with whatever moves it, under a temporary name until the file is whole and on the disk.

    Alembic (.abc) and USD (.usdc, .usda, .usd) hold each frame's vertices; glTF (.glb, .gltf) and FBX (.fbx) the shape
    keys as morph targets and their values, one key a frame, with frame `first` at time 0. A .gltf is one file, its data
    embedded; an .fbx holds the mesh without its modifiers.

    Args:
        obj: a mesh object of the open scene, visible; for glTF and FBX its ARKit shape keys are animated.
        path: the file; its suffix is the format.
        first, last: scene frames, both written; at the scene's frame rate.

    Raises:
        HiSTalkError: an unknown suffix, no frames, a hidden object or bake, no curves on ARKit keys, no room, or the
            file cannot be written.
    """
    path = Path(path)
    path = path.parent.resolve() / path.name
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise HiSTalkError(f"'{path.name}' is no format to export: name a file that ends with {', '.join(WRITERS)}.")
    if last < first:
        raise HiSTalkError(f"'{path.name}' would have no frames: the last, {last}, comes before the first, {first}.")
    if not path.parent.is_dir():
        raise HiSTalkError(f"'{path.parent}' is no folder: make it, or choose another place for '{path.name}'.")
    if reasons := visibility_warnings(obj):
        raise HiSTalkError(f"'{path.name}' would not show the bake: {' '.join(reasons)}")
    if WRITERS[suffix] in (_gltf, write_fbx):
        _check_units(obj, path)
    else:
        _check_space(obj, path, last - first + 1)
    with blender_output(path) as temporary:
        # Alembic's writer ends the process where it fails, so that its last words are all there is.
        with _alone(obj, first, last), silence_fd(1), nullcontext() if suffix == ".abc" else silence_fd(2):
            done = WRITERS[suffix](str(temporary), first, last)
        if done != {"FINISHED"} or not _is_whole(temporary):
            raise RuntimeError("Blender stopped before its end; the disk may be full")


def _check_units(obj, path: Path) -> None:
    """A glTF or FBX without curves on ARKit keys would be a face that rests."""
    keys = obj.data.shape_keys
    units = {**match_names(key_names(obj)), **{name: name for name in keys.get(SAVED_VALUES, {})}} if keys else {}
    if not units:
        raise HiSTalkError(
            f"'{obj.name}' has no shape keys with ARKit names, which '{path.name}' needs: take the head with its 52 "
            "units and bake ARKit curves, or export .abc or .usdc."
        )
    animation = keys.animation_data
    moved = {curve.data_path for bag in curve_bags(animation) for curve in bag.fcurves}
    if not moved & {key_path(key) for key in units.values()}:
        raise HiSTalkError(
            f"No ARKit shape key of '{obj.name}' is animated, which '{path.name}' needs: bake ARKit curves, or export "
            ".abc or .usdc."
        )


def _check_space(obj, path: Path, frames: int) -> None:
    """Refuse what cannot fit: on a full disk Alembic's writer ends the process, and USD's leaves half a file."""
    suffix, mesh = path.suffix.lower(), obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    vectors = len(mesh.vertices) + (0 if suffix == ".abc" else len(mesh.loops))  # USD has normals too
    needed = 12 * vectors * frames * (4 if suffix == ".usda" else 1) / 1e6
    free = shutil.disk_usage(path.parent).free / 1e6
    if free < 1.02 * needed + 10:
        sentence = f"'{path}' needs {needed:.0f} MB, {free:.0f} are free: make room, or choose another place."
        raise HiSTalkError(sentence) from OSError(errno.ENOSPC, "no room")


def _is_whole(path: Path) -> bool:
    """Whether USD's writer reached the end, of which it says nothing; other formats' writers do."""
    with open(path, "rb") as file:
        start, size = file.read(24), file.seek(0, os.SEEK_END)
        if start.startswith(b"PXR-USDC"):
            return 0 < struct.unpack("<q", start[16:24])[0] < size  # its table of contents comes last
        file.seek(max(0, size - 8))
        return not start.startswith(b"#usda") or file.read().rstrip().endswith(b"}")


@contextmanager
def _alone(obj, first: int, last: int) -> Iterator[None]:
    """The object alone selected and the scene's range these frames; afterwards all is as it was."""
    scene, layer = bpy.context.scene, bpy.context.view_layer
    selected, active = list(bpy.context.selected_objects), layer.objects.active
    frames = scene.frame_start, scene.frame_end, scene.frame_current, scene.frame_subframe
    try:
        for other in selected:
            other.select_set(False)
        if obj.name in layer.objects:
            obj.select_set(True)
        if not (obj.name in layer.objects and obj.select_get()):
            raise HiSTalkError(f"'{obj.name}' is hidden: show it, then export.")
        layer.objects.active = obj
        scene.frame_start, scene.frame_end = first, last
        yield
    finally:
        scene.frame_start, scene.frame_end = frames[:2]
        scene.frame_set(frames[2], subframe=frames[3])
        if obj.name in layer.objects:
            obj.select_set(False)
        for other in selected:
            other.select_set(True)
        layer.objects.active = active


def _alembic(path: str, first: int, last: int) -> set[str]:
    return bpy.ops.wm.alembic_export(filepath=path, start=first, end=last, selected=True, orcos=False)


def _usd(path: str, first: int, last: int) -> set[str]:
    # As blend shapes or a skeleton, the vertices would be left to the reader's arithmetic, and a cache would be lost.
    return bpy.ops.wm.usd_export(
        filepath=path,
        selected_objects_only=True,
        export_animation=True,
        export_shapekeys=False,
        export_armatures=False,
        export_textures_mode="KEEP",
        convert_world_material=False,
    )


def _gltf(path: str, first: int, last: int) -> set[str]:
    scene = bpy.context.scene
    with add_on_enabled(GLTF):
        preferences = bpy.context.preferences.addons[GLTF].preferences
        embedded, base = preferences.allow_embedded_format, scene.render.fps_base
        try:
            preferences.allow_embedded_format = True
            # The exporter takes fps * fps_base for the rate; Blender's is fps / fps_base.
            scene.render.fps_base = 1 / base
            return bpy.ops.export_scene.gltf(
                filepath=path,
                export_format="GLB" if path.endswith(".glb") else "GLTF_EMBEDDED",
                use_selection=True,
                export_animation_mode="ACTIVE_ACTIONS",
                export_frame_range=True,
                export_anim_slide_to_zero=True,
                export_force_sampling=True,
                export_optimize_animation_size=False,
            )
        finally:
            scene.render.fps_base = base
            preferences.allow_embedded_format = embedded


WRITERS = {
    ".abc": _alembic,
    ".usdc": _usd,
    ".usda": _usd,
    ".usd": _usd,
    ".glb": _gltf,
    ".gltf": _gltf,
    ".fbx": write_fbx,
}
