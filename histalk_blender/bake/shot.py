"""A performance put on a head in a .blend, the user's or a new one, as the command line and a batch do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy

from ..errors import HiSTalkError
from ..head.arkit_names import match_names
from ..head.head import load_head
from ..motion.timing import from_sound_start
from ..runtime.output import silence_fd
from ..synthesis import Performance
from . import aud_decoder  # noqa: F401  (it registers itself with audio.conversion)
from .arkit_rig import key_names
from .film import render_preview
from .geometry import recognised
from .scene import build_scene, save_blend
from .shot_sound import add_sound
from .targets import instance_with, instances_of_heads, why_no_mesh
from .untrusted import simulations_held_on_load

__all__ = [
    "add_sound",
    "startup_blend",
    "check_camera",
    "find_head",
    "frames_of",
    "new_shot",
    "open_shot",
    "render_film",
    "save_shot",
]


def new_shot(performance: Performance, audio: Path, start: int, fps: float, units: bool, delay: float = 0.0):
    """A scene of its own for the bundled head, as long as sound and motion; see `build_scene`."""
    return build_scene(load_head(), audio, frames_of(performance, fps, delay), start, fps, units)


def frames_of(performance: Performance, fps: float, delay: float = 0.0) -> int:
    """Scene frames from the sound's first to the last of sound and motion."""
    return len(from_sound_start(performance.motion, fps, delay))


def open_shot(blend: Path | str, name: str):
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


def startup_blend() -> str:
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
        return bool(recognised(obj)) or bool(match_names(key_names(obj)))
    except HiSTalkError:
        return False


def check_camera() -> None:
    """Refuse a film of a scene without a camera, before the network runs.

    Raises:
        HiSTalkError: there is none.
    """
    scene = bpy.context.scene
    if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
        raise HiSTalkError(
            f"Scene '{scene.name}' has no camera, so no film can be made: set one in Scene properties, or "
            "leave mp4 out."
        )


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
