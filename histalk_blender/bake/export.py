"""The speaking object of the open scene in other programs' formats."""

from __future__ import annotations

from pathlib import Path

import addon_utils
import bpy

from ..arkit import match_names
from ..errors import HiSTalkError
from ..files import settle
from ..quiet import quiet

GLTF = "io_scene_gltf2"  # Blender's own extension


def export(obj, path: Path, first: int, last: int) -> None:
    """Write an object alone, as it moves, under a temporary name until it is whole.

    Args:
        obj: of the open scene, with a bake of any kind; for glTF with one on its ARKit keys.
        path: .abc, .usd, .usda, .usdc, .glb or .gltf.
        first, last: scene frames, inclusive.

    Raises:
        HiSTalkError: no such format, no keys for glTF, or it cannot be written.
    """
    path, scene = Path(path).resolve(), bpy.context.scene
    suffix = path.suffix.lower()
    write = {".abc": _alembic, ".glb": _gltf, ".usd": _usd, ".usda": _usd, ".usdc": _usd}.get(suffix)
    if write is None:
        raise HiSTalkError(f"'{path}' must end in .abc, .usd, .usda, .usdc or .glb.")
    if suffix == ".glb" and not match_names([key.name for key in _keys(obj)]):
        raise HiSTalkError(f"'{obj.name}' has no ARKit shape keys, which glTF plays: bake as arkit on a head that has them.")
    temporary = path.with_name(f"{path.stem}.part{suffix}")
    kept = scene.frame_start, scene.frame_end, scene.frame_current
    scene.frame_start, scene.frame_end = first, last
    try:
        with bpy.context.temp_override(selected_objects=[obj], active_object=obj, object=obj), quiet(1):
            for other in bpy.context.view_layer.objects:
                other.select_set(other == obj)
            write(temporary, first, last)
        settle(temporary, path)
    except (RuntimeError, OSError) as error:
        raise HiSTalkError(f"'{path}' cannot be written ({str(error).strip()}): choose another place.") from error
    finally:
        temporary.unlink(missing_ok=True)
        scene.frame_start, scene.frame_end = kept[:2]
        scene.frame_set(kept[2])


def _keys(obj) -> list:
    return list(obj.data.shape_keys.key_blocks[1:]) if obj.data.shape_keys else []


def _alembic(path: Path, first: int, last: int) -> None:
    bpy.ops.wm.alembic_export(
        filepath=str(path), start=first, end=last, selected=True, as_background_job=False, face_sets=True,
        export_custom_properties=False,
    )  # fmt: skip


def _usd(path: Path, first: int, last: int) -> None:
    # Shape keys as such would need a skeleton to read; vertices by frame are read everywhere.
    bpy.ops.wm.usd_export(
        filepath=str(path), selected_objects_only=True, export_animation=True, export_shapekeys=False,
        export_armatures=False, export_custom_properties=False, export_lights=False, export_cameras=False,
        convert_world_material=False,
    )  # fmt: skip


def _gltf(path: Path, first: int, last: int) -> None:
    was_on = addon_utils.check(GLTF)[1]
    if not was_on:
        addon_utils.enable(GLTF)
    try:
        bpy.ops.export_scene.gltf(
            filepath=str(path), export_format="GLB", use_selection=True, export_animations=True, export_morph=True,
            export_morph_animation=True, export_frame_range=True, export_animation_mode="ACTIVE_ACTIONS",
            export_force_sampling=True, export_optimize_animation_size=False, export_yup=True,
        )  # fmt: skip
    finally:
        if not was_on:
            addon_utils.disable(GLTF)
