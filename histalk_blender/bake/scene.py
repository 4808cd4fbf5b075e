"""A scene around the head: materials, sound, camera, light; and its preview as a film."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bpy

from ..head import Head
from ..quiet import quiet
from ..units import ARKIT_UNITS
from .shape_keys import add_key
from .writing import blender_output


def build_scene(
    head: Head, audio: Path, frames: int, start_frame: int = 1, fps: float = 30.0, units: bool = False
):
    """An empty file with the head, its sound strip, a camera and a light.

    Args:
        head: what speaks.
        audio: the sound for the sequencer.
        frames: length in scene frames.
        start_frame: where sound and motion begin.
        fps: the scene's frames a second.
        units: give the head its 52 units as shape keys.

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
    editor = scene.sequence_editor_create()
    editor.strips.new_sound(Path(audio).stem, str(Path(audio).resolve()), 1, start_frame)
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
    """The head as a new, active object with its materials, and on wish with its 52 units as shape keys."""
    mesh = bpy.data.meshes.new("HiSTalk Head")
    mesh.from_pydata(head.vertices.tolist(), [], [[v for v in face if v >= 0] for face in head.faces.tolist()])
    for name, colour in head.materials:
        material = bpy.data.materials.new(name)
        material.diffuse_color = (*colour, 1.0)
        material.roughness = 0.5
        if bpy.app.version < (5, 0):  # later ones always have nodes
            material.use_nodes = True
        shader = material.node_tree.nodes["Principled BSDF"]
        shader.inputs["Base Color"].default_value = (*colour, 1.0)
        shader.inputs["Roughness"].default_value = 0.5
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", head.face_materials)
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    mesh.update()
    obj = bpy.data.objects.new("HiSTalk Head", mesh)
    bpy.context.scene.collection.objects.link(obj)
    if units:
        for name, delta in zip(ARKIT_UNITS, head.unit_deltas()):
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
    with blender_output(path) as temporary, quiet(1):
        # Only a saved file has a place that paths can be relative to.
        bpy.ops.wm.save_as_mainfile(filepath=str(temporary))
        bpy.ops.file.make_paths_relative()
        bpy.ops.wm.save_mainfile()


def workbench_renders() -> bool:
    """Whether this machine can draw without a screen; asked in a child, as Blender ends the process if it cannot."""
    code = (
        "import bpy; s = bpy.context.scene; s.render.engine = 'BLENDER_WORKBENCH'; "
        "s.render.resolution_x = s.render.resolution_y = 8; bpy.ops.render.render()"
    )
    try:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def use_workbench(scene, size: int) -> None:
    """Workbench in the materials' colours, `size` pixels a side."""
    scene.render.engine = "BLENDER_WORKBENCH"
    shading = scene.display.shading
    shading.light, shading.color_type, shading.show_cavity = "STUDIO", "MATERIAL", True
    scene.render.resolution_x = scene.render.resolution_y = size


def render_preview(path: Path, size: int = 512, progress: Callable[[float], None] = lambda share: None) -> None:
    """Render the scene's range into an mp4 with its sound: Workbench, or Cycles where nothing can be drawn with OpenGL.

    Args:
        path: the .mp4.
        size: pixels of its sides; Cycles halves them.
        progress: called with the share done after each frame.

    Raises:
        HiSTalkError: the film cannot be written.
    """
    path = Path(path).resolve()
    scene = bpy.context.scene
    use_workbench(scene, size)
    if not workbench_renders():
        scene.render.engine = "CYCLES"
        scene.cycles.samples, scene.cycles.use_denoising = 12, True
        scene.render.use_persistent_data = True
        scene.render.resolution_x = scene.render.resolution_y = size // 2
    scene.render.resolution_percentage = 100
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "VIDEO"
    scene.render.image_settings.file_format = "FFMPEG"
    ffmpeg = scene.render.ffmpeg
    ffmpeg.format, ffmpeg.codec, ffmpeg.audio_codec = "MPEG4", "H264", "AAC"
    ffmpeg.constant_rate_factor = "HIGH"
    scene.render.use_stamp_date = False  # the clock in its metadata: equal scenes, equal films
    # Without the sequencer Blender writes a silent film.
    scene.render.use_sequencer = True
    scene.render.use_file_extension = False
    frames = scene.frame_end - scene.frame_start + 1

    def frame_done(scene, *_):
        progress((scene.frame_current - scene.frame_start + 1) / frames)

    bpy.app.handlers.render_post.append(frame_done)
    try:
        with blender_output(path, "rendered") as temporary, quiet(1):
            scene.render.filepath = str(temporary)
            bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_post.remove(frame_done)
