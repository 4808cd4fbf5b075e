"""From an animator's settings to a request for a bake, or to the sentence on why it is not possible."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..bake.geometry import scene_fps
from ..bake.ownership import check_edits
from ..bake.pipeline import check, check_target
from ..bake.settings import BakeSettings
from ..bake.targets import check_object
from ..errors import HiSTalkError
from .bake_job import BakeRequest
from .strips import TimelineSound, inaudible_reason, proposed_strip, record_strip, record_timeline, sound_strips


def sound_scene(context, settings):
    """The scene whose sequencer plays the sound."""
    return settings.scene or getattr(context, "sequencer_scene", None) or context.scene


def chosen_strip(context, settings):
    """The strip with the speech, or None."""
    scene = sound_scene(context, settings)
    if not settings.strip:
        return proposed_strip(scene)
    return next((strip for strip in sound_strips(scene) if strip.name == settings.strip), None)


def bake_settings(settings, start_frame: float = 1, discard_edits: bool = False) -> BakeSettings:
    """An animator's settings as the pipeline takes them.

    Args:
        settings: an object's `histalk`.
        start_frame: scene frame at which the sound begins.
        discard_edits: replace the earlier bake though it was changed by hand.
    """
    return BakeSettings(
        kind=settings.kind,
        options=settings.options(),
        style=settings.style(),
        start_frame=start_frame,
        frames=(settings.first, settings.last) if settings.use_range else None,
        ease=True,
        cache=Path(bpy.path.abspath(settings.cache_folder)) if settings.cache_folder else None,
        mapping=settings.mapping(),
        discard_edits=discard_edits,
    )


def object_reason(obj) -> str:
    """Why this object, or None, is no mesh to work on, or ""."""
    try:
        check_object(obj)
    except HiSTalkError as error:
        return str(error)
    return ""


def blocking_reason(context, obj) -> str:
    """What keeps this object from being baked on, or ""; cheap enough for every redraw."""
    try:
        settings = obj.histalk
        check_target(obj, bake_settings(settings))
        if settings.weights and not Path(bpy.path.abspath(settings.weights)).is_file():
            raise HiSTalkError(f"No weights at '{settings.weights}': choose another file, or leave it empty.")
        if settings.use_range and settings.last < settings.first:
            raise HiSTalkError("The frame range ends before it begins: fix it.")
        return _sound_reason(context, settings)
    except HiSTalkError as error:
        return str(error)


def build_request(context, obj, discard_edits: bool = False) -> BakeRequest:
    """All that a bake needs to know, read once; mixes the timeline down where Blender alone can.

    Args:
        discard_edits: see `BakeSettings`.

    Raises:
        HiSTalkError: something must be fixed first, or the earlier bake was changed by hand.
    """
    reason = blocking_reason(context, obj)
    if reason:
        raise HiSTalkError(reason)
    check_edits(obj, discard_edits)
    settings = obj.histalk
    sound = _timeline_sound(context, settings)
    plan = check(obj, bake_settings(settings, sound.first_frame, discard_edits), context.scene)
    weights = Path(bpy.path.abspath(settings.weights)) if settings.weights else None
    return BakeRequest(obj.session_uid, plan, sound, weights, settings.device)


def _sound_reason(context, settings) -> str:
    if settings.audio == "FILE":
        if not settings.file:
            return "No sound file is chosen: choose one under Audio."
        path = Path(bpy.path.abspath(settings.file))
        return "" if path.is_file() else f"No sound file at '{path}': choose another under Audio."
    scene = sound_scene(context, settings)
    if abs(scene_fps(scene) - scene_fps(context.scene)) > 1e-3:
        return (
            f"Scene '{scene.name}' plays {scene_fps(scene):g} frames a second and '{context.scene.name}' "
            f"{scene_fps(context.scene):g}, so the face would drift from the sound: make them equal."
        )
    if settings.audio == "TIMELINE":
        if sound_strips(scene):
            return ""
        return f"Scene '{scene.name}' has no sound strip: add one in the Video Sequencer, or choose a file."
    strip = chosen_strip(context, settings)
    if strip is None and settings.strip:
        return f"Scene '{scene.name}' has no sound strip '{settings.strip}': choose another under Audio."
    if strip is None:
        return f"Scene '{scene.name}' has no sound strip: add one in the Video Sequencer, or choose a file."
    return inaudible_reason(scene, strip)


def _timeline_sound(context, settings) -> TimelineSound:
    channel = settings.spoken_channel()
    if settings.audio == "FILE":
        path = Path(bpy.path.abspath(settings.file))
        return TimelineSound(path, 0.0, None, settings.file_frame, path.name, channel=channel)
    scene = sound_scene(context, settings)
    if settings.audio == "TIMELINE":
        return record_timeline(scene, channel)
    return record_strip(scene, chosen_strip(context, settings), channel)
