"""A head with its shape keys and their motion as FBX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy
import numpy as np
from mathutils import Matrix

from .blender_add_ons import add_on_enabled
from .curves import key_path

FBX = "io_scene_fbx"


def write_fbx(path: str, first: int, last: int) -> set[str]:
    """Write the active object's mesh, its shape keys and their values, a key a frame, with frame `first` at time 0.

    Blender's exporter writes the scene's frame numbers as times, and reads keys through whatever moves them. So all is
    read off the scene first, and what is exported is a copy in a scene of its own that plays just that.
    """
    obj = bpy.context.view_layer.objects.active
    values, places = _played(obj, first, last)
    with add_on_enabled(FBX), _copied(obj, values, places) as scene:
        layer = scene.view_layers[0]
        with bpy.context.temp_override(scene=scene, view_layer=layer):
            return bpy.ops.export_scene.fbx(
                filepath=path,
                object_types={"MESH"},
                use_mesh_modifiers=False,
                mesh_smooth_type="FACE",
                bake_anim=True,
                bake_anim_use_nla_strips=False,
                bake_anim_use_all_actions=False,
                bake_anim_force_startend_keying=True,
                bake_anim_step=1.0,
                bake_anim_simplify_factor=0.0,
            )


def _played(obj, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """What is seen in each frame: the shape keys' values [T, K], and the object's place in the world [T, 4, 4]."""
    keys, scene = obj.data.shape_keys.key_blocks, bpy.context.scene
    values, places = np.zeros((last - first + 1, len(keys)), np.float32), np.zeros((last - first + 1, 4, 4))
    for i in range(len(values)):
        scene.frame_set(first + i)
        keys.foreach_get("value", values[i])
        places[i] = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world
    muted = np.zeros(len(keys), bool)
    keys.foreach_get("mute", muted)
    values[:, muted] = 0
    return values, places


@contextmanager
def _copied(obj, values: np.ndarray, places: np.ndarray) -> Iterator[bpy.types.Scene]:
    """A scene with a copy of the object under its own names, that plays these values from frame 0; gone afterwards."""
    names = obj.name, obj.data.name
    copy = obj.copy()
    mesh = copy.data = obj.data.copy()
    scene = bpy.data.scenes.new(names[0])
    action = bpy.data.actions.new(names[0])
    try:
        obj.name, obj.data.name = names[0][:50] + " copied", names[1][:50] + " copied"
        copy.name, mesh.name = names
        for block in (copy, mesh, mesh.shape_keys):
            block.animation_data_clear()
        copy.modifiers.clear()
        copy.constraints.clear()
        copy.parent = None
        _set_scene(scene, len(values))
        scene.collection.objects.link(copy)
        copy.hide_viewport = False
        _play(copy, action, values, places)
        yield scene
    finally:
        bpy.data.objects.remove(copy)
        bpy.data.meshes.remove(mesh)
        bpy.data.actions.remove(action)
        bpy.data.scenes.remove(scene)
        obj.name, obj.data.name = names


def _set_scene(scene, frames: int) -> None:
    """The open scene's rate and units, and these frames from 0 on."""
    open_scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = open_scene.render.fps, open_scene.render.fps_base
    scene.unit_settings.system = open_scene.unit_settings.system
    scene.unit_settings.scale_length = open_scene.unit_settings.scale_length
    scene.frame_start, scene.frame_end = 0, frames - 1


def _play(copy, action, values: np.ndarray, places: np.ndarray) -> None:
    """Curves for what changes; the rest stands."""
    keys = copy.data.shape_keys
    for i, key in enumerate(keys.key_blocks):
        key.mute = False
        key.slider_min = min(key.slider_min, values[:, i].min())
        key.slider_max = max(key.slider_max, values[:, i].max())
        key.value = values[0, i]
        if np.ptp(values[:, i]) > 0:
            _curve(action, keys, key_path(key.name), 0, values[:, i])
    copy.rotation_mode = "QUATERNION"
    copy.matrix_world = Matrix(places[0].tolist())
    if np.ptp(places, axis=0).max() > 1e-7:
        parts = [Matrix(place.tolist()).decompose() for place in places]
        for path, part in (("location", 0), ("rotation_quaternion", 1), ("scale", 2)):
            found = np.array([place[part][:] for place in parts])
            for axis in range(found.shape[1]):
                _curve(action, copy, path, axis, found[:, axis])


def _curve(action, block, path: str, index: int, values: np.ndarray) -> None:
    """One point a frame, from frame 0 on."""
    animation = block.animation_data or block.animation_data_create()
    if animation.action is None:
        animation.action = action
    curve = action.fcurve_ensure_for_datablock(block, path, index=index)
    points = np.stack([np.arange(len(values)), values], 1).astype(np.float32)
    curve.keyframe_points.add(len(points))
    curve.keyframe_points.foreach_set("co", points.ravel())
    curve.keyframe_points.foreach_set("interpolation", np.ones(len(points), np.int32))  # linear
    curve.update()
