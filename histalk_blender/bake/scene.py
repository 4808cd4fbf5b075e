"""A scene around the head: materials, sound, camera, light; and the .blend that holds it."""

from __future__ import annotations

import math
from pathlib import Path

import bpy

from ..head.arkit import ARKIT_BLENDSHAPES
from ..head.head import Head
from ..runtime.output import silence_fd
from .shape_keys import add_key
from .shot_sound import add_sound
from .untrusted import simulations_saved_as_they_were
from .writing import blender_output


def build_scene(head: Head, audio: Path, frames: int, start_frame: int = 1, fps: float = 30.0, units: bool = False):
    """An empty file with the head, its sound strip, a camera and a light.

    Args:
        head: what speaks.
        audio: the sound for the sequencer.
        frames: length in scene frames.
        start_frame: where sound and motion begin.
        fps: the scene's frames a second.
        units: give the head its 52 ARKit blendshapes as shape keys.

    Returns:
        The head's object.
    """
    # Not read_factory_settings, which would switch off the extension whose command this may be.
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.fps = math.ceil(fps - 1e-6)
    scene.render.fps_base = scene.render.fps / fps
    scene.frame_start, scene.frame_end, scene.frame_step = start_frame, start_frame + frames - 1, 1
    scene.frame_set(start_frame)
    obj = add_head(head, units)
    add_sound(audio, start_frame, obj)
    marks = head.landmarks(head.vertices)
    # The face from brow to chin, a little from the side, as a portrait lens sees it.
    middle = (marks[8] + marks[27]) / 2 + [0, 0.05, 0]
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.lens = 85
    angle, distance = math.radians(18), 0.75
    camera.location = (middle[0] + distance * math.sin(angle), middle[1] - distance * math.cos(angle), middle[2])
    camera.rotation_euler = (math.pi / 2, 0, angle)
    light = bpy.data.objects.new("Light", bpy.data.lights.new("Light", "AREA"))
    light.data.energy, light.data.size = 25, 0.6
    light.location = (middle[0] + 0.6, middle[1] - 0.9, middle[2] + 0.6)
    light.rotation_euler = (math.radians(60), 0, math.radians(32))
    scene.world = bpy.data.worlds.new("World")
    scene.world.color = (0.05, 0.05, 0.05)
    for item in (camera, light):
        scene.collection.objects.link(item)
    scene.camera = camera
    scene.view_settings.view_transform = "Standard"
    return obj


def add_head(head: Head, units: bool = False):
    """The head as a new, active object with its materials, and on wish with its 52 ARKit blendshapes as shape keys."""
    mesh = bpy.data.meshes.new("HiSTalk Head")
    mesh.from_pydata(head.vertices.tolist(), [], [[v for v in face if v >= 0] for face in head.faces.tolist()])
    for name, colour in head.materials:
        material = bpy.data.materials.new(name)
        material.diffuse_color = (*colour, 1.0)
        material.roughness = 0.5
        if bpy.app.version < (5, 0):  # later ones always have nodes
            material.use_nodes = True
        nodes = material.node_tree.nodes
        nodes.clear()  # where a volume is active they would be a volume's
        shader, output = nodes.new("ShaderNodeBsdfPrincipled"), nodes.new("ShaderNodeOutputMaterial")
        output.location.x = 300
        material.node_tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])
        shader.inputs["Base Color"].default_value = (*colour, 1.0)
        shader.inputs["Roughness"].default_value = 0.5
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", head.face_materials)
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    mesh.update()
    obj = bpy.data.objects.new("HiSTalk Head", mesh)
    bpy.context.scene.collection.objects.link(obj)
    if units:
        for name, delta in zip(ARKIT_BLENDSHAPES, head.blendshape_deltas()):
            add_key(obj, name, head.vertices + delta)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    return obj


def save_blend(path: Path) -> None:
    """Save the open scene, under a temporary name until it is whole; paths in it become relative.

    Raises:
        HiSTalkError: the file cannot be written.
    """
    bpy.context.preferences.filepaths.save_version = 0
    with blender_output(path, needs=2 * _size_foretold()) as temporary, simulations_saved_as_they_were(), silence_fd(1):
        # Only a saved file has a place that paths can be relative to.
        bpy.ops.wm.save_as_mainfile(filepath=str(temporary))
        bpy.ops.file.make_paths_relative()
        bpy.ops.wm.save_mainfile()


def _size_foretold() -> int:
    """Rough size in bytes of the open scene's .blend; Blender saves it twice and deletes what did not fit."""
    opened = Path(bpy.data.filepath)
    size = (1 << 20) + (opened.stat().st_size if bpy.data.filepath and opened.is_file() else 0)
    for mesh in bpy.data.meshes:
        keys = mesh.shape_keys.key_blocks if mesh.shape_keys else ()
        size += len(mesh.vertices) * 12 * (4 + len(keys))
    return size
