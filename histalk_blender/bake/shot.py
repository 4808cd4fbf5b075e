"""A performance put on a head in a .blend, the user's or a new one, as the command line and a batch do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

from ..errors import HiSTalkError
from ..head.arkit_names import match_names
from ..head.head import load_head
from ..head.topologies import Topology, recognise, vertex_counts
from ..motion.placing import from_sound_on
from ..motion.style import Style
from ..runtime.output import silence_fd
from ..synthesis import Performance
from . import aud_decoder  # noqa: F401  (it registers itself with audio.conversion)
from .arkit_rig import key_names
from .bakes import BakeReport, apply, report
from .film import render_preview
from .make import Plan, compute_bake
from .plan import plan_bake, rest_positions, scene_fps, shown_positions
from .scene import build_scene, save_blend
from .shot_sound import add_sound
from .targets import instance_with, instances_of_heads, why_no_mesh
from .untrusted import simulations_held_on_load

__all__ = [
    "add_sound",
    "begun_with",
    "check_camera",
    "check_head",
    "find_head",
    "frames_of",
    "new_shot",
    "open_shot",
    "render_film",
    "save_shot",
    "seat",
    "speak",
]


def new_shot(performance: Performance, audio: Path, start: int, fps: float, units: bool, delay: float = 0.0):
    """A scene of its own for the bundled head, as long as sound and motion; see `build_scene`."""
    return build_scene(load_head(), audio, frames_of(performance, fps, delay), start, fps, units)


def frames_of(performance: Performance, fps: float, delay: float = 0.0) -> int:
    """Scene frames from the sound's first to the last of sound and motion."""
    return len(from_sound_on(performance.motion, fps, delay))


def open_shot(blend: Path, name: str):
    """Open a .blend, without running what it holds, and find the head in it.

    Args:
        name: of the object; "" = the only one that can speak.

    Raises:
        HiSTalkError: it cannot be opened, or has no such object, or none or several that can speak.
    """
    try:
        with simulations_held_on_load(), silence_fd(1):  # which belongs to what the command prints
            bpy.ops.wm.open_mainfile(filepath=str(Path(blend).resolve()), load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise HiSTalkError(f"'{blend}' cannot be opened ({str(error).strip()}): is it a .blend?") from error
    if bpy.data.filepath and Path(bpy.data.filepath) != Path(blend).resolve():
        raise HiSTalkError(f"'{blend}' cannot be opened: is it a .blend?")
    return find_head(name, str(blend))


def begun_with() -> str:
    """The .blend that Blender has been started with, or ""; as a module, bpy only keeps what we opened ourselves."""
    return bpy.data.filepath if bpy.app.binary_path else ""


def find_head(name: str, blend: str):
    """The open file's object of that name, or the only one that can speak.

    Raises:
        HiSTalkError: see `open_shot`.
    """
    objects = bpy.context.scene.objects
    meshes = [obj for obj in objects if obj.type == "MESH"]
    if name:
        found = objects.get(name)
        shows = found is None and instance_with(name, objects)
        if shows:
            raise HiSTalkError(f"'{blend}' has no object '{name}' in its scene itself. {why_no_mesh(shows)}")
        if found is None:
            listed = ", ".join(f"'{obj.name}'" for obj in meshes[:5]) or "none"
            raise HiSTalkError(f"'{blend}' has no object '{name}' in its scene: its meshes are {listed}.")
        if reason := why_no_mesh(found):
            raise HiSTalkError(reason)
        return found
    heads = [obj for obj in meshes if _can_speak(obj)]
    if not heads and (instances := instances_of_heads(objects)):
        raise HiSTalkError(f"'{blend}' has no head of its own. {why_no_mesh(instances[0])}")
    if len(heads) != 1:
        listed = ", ".join(f"'{obj.name}'" for obj in heads[:5])
        raise HiSTalkError(
            f"'{blend}' has {f'{len(heads)} heads ({listed})' if heads else 'no head'}: name the object to bake on."
        )
    return heads[0]


def _can_speak(obj) -> bool:
    try:
        return bool(recognise(rest_positions(obj))) or bool(match_names(key_names(obj)))
    except HiSTalkError:
        return False


def check_head(obj, **options) -> tuple[Plan, Topology | None]:
    """What `speak` will do, and the mesh's topology, found before anything is heard.

    Args:
        options: those of `plan_bake`.

    Raises:
        HiSTalkError: the object cannot carry the bake, or not for longer than the file is open.
    """
    plan = plan_bake(obj, **options)
    topology = None if plan.kind == "arkit" else recognise(plan.rest)
    if plan.kind != "arkit" and not topology:
        raise HiSTalkError(
            f"'{obj.name}' has {len(plan.rest)} vertices, {vertex_counts()}: choose one of those, or bake as arkit."
        )
    return plan, topology


def check_camera() -> None:
    """Refuse a film of a scene without a camera, before anything is heard.

    Raises:
        HiSTalkError: there is none.
    """
    scene = bpy.context.scene
    if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
        raise HiSTalkError(
            f"Scene '{scene.name}' has no camera, so no film can be made: set one in Scene properties, or leave mp4 out."
        )


def speak(
    obj,
    performance: Performance,
    *,
    kind: str,
    start: float,
    cache: Path,
    tolerance_mm: float = 0.1,
    style: Style = Style(),
    rest: bool,
    discard_edits: bool = False,
) -> BakeReport:
    """Bake a performance on an object of the open file.

    Args:
        kind: "cache", "keys", "basis" or "arkit".
        start: scene frame where the sound begins.
        cache: the .pc2 of kind "cache".
        rest: whether the face leaves its rest before the first frame and returns to it after the last, as it must in
            a shot that is longer than the sound.
        discard_edits: see `plan_bake`.

    Raises:
        HiSTalkError: the object cannot carry the bake; the scene is untouched.
    """
    plan, topology = check_head(
        obj, kind=kind, start_frame=start, cache=cache, tolerance_mm=tolerance_mm, discard_edits=discard_edits
    )
    made = compute_bake(plan, performance, topology, style, rest=rest)
    for _ in apply(obj, made):
        pass
    return report(obj, made)


def seat(obj) -> tuple[np.ndarray, np.ndarray, float]:
    """Where an object's vertices rest [V, 3] and stand [V, 3], see `Plan`, and the open scene's frames a second."""
    return rest_positions(obj), shown_positions(obj), scene_fps(bpy.context.scene)


def save_shot(path: Path) -> None:
    """Save the open file to another place.

    Raises:
        HiSTalkError: it is the shot's own, or cannot be written.
    """
    if bpy.data.filepath and path.resolve() == Path(bpy.data.filepath):
        raise HiSTalkError(f"'{path}' is the shot itself, which is left as it is: name another place.")
    save_blend(path)


def render_film(path: Path, first: int, last: int, progress: Callable[[float], None] = lambda share: None) -> None:
    """Render frames of the open scene; see `render_preview`.

    Args:
        first, last: scene frames, both rendered.
        progress: called with the share that is done.

    Raises:
        HiSTalkError: the scene has no camera, or the film cannot be written.
    """
    check_camera()
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end, scene.frame_step = first, last, 1
    render_preview(path, progress=progress)
