"""From an animator's settings to an order, or to the sentence that says why there can be none."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..bake.arkit_rig import read_rig
from ..bake.edits import check_edits
from ..bake.plan import cache_place, check_object, plan_bake, rest_positions, scene_fps
from ..bake.savable import check_savable
from ..errors import HiSTalkError
from ..head.topologies import Topology, recognise, topologies_with, vertex_counts
from .bake_job import Order
from .strips import Recording, inaudible_reason, proposed_strip, record_strip, record_timeline, sound_strips


def sound_scene(context, settings):
    """The scene whose sequencer is heard."""
    return settings.scene or getattr(context, "sequencer_scene", None) or context.scene


def chosen_strip(context, settings):
    """The strip to speak, or None."""
    scene = sound_scene(context, settings)
    if not settings.strip:
        return proposed_strip(scene)
    return next((strip for strip in sound_strips(scene) if strip.name == settings.strip), None)


def recognised(obj) -> Topology | None:
    """The topology of a mesh, or None; where no topology has as many vertices, they are not read.

    Raises:
        HiSTalkError: the number of vertices is right and their order is not.
    """
    return recognise(rest_positions(obj)) if topologies_with(len(obj.data.vertices)) else None


def topology_of(obj, kind: str) -> Topology | None:
    """What the mesh was recognised as; None where only its ARKit keys count.

    Raises:
        HiSTalkError: the bake asks for another mesh.
    """
    if kind == "arkit":
        return None
    topology = recognised(obj)
    if not topology:
        raise HiSTalkError(
            f"'{obj.name}' has {len(obj.data.vertices)} vertices, {vertex_counts()}: choose one of those, or bake as "
            "ARKit curves."
        )
    return topology


def why_no_order(context, obj) -> str:
    """What keeps this object from being baked on, or ""; cheap enough for every redraw."""
    try:
        check_object(obj)
        settings = obj.histalk
        check_savable(obj, settings.kind)
        topology_of(obj, settings.kind)
        if settings.kind == "arkit":
            read_rig(obj, settings.mapping())
        if settings.kind == "cache":
            cache_place(_folder(settings))
        if settings.weights and not Path(bpy.path.abspath(settings.weights)).is_file():
            raise HiSTalkError(f"No weights at '{settings.weights}': choose another file, or leave it empty.")
        if settings.use_range and settings.last < settings.first:
            raise HiSTalkError("The frame range ends before it begins: mend it.")
        return _why_no_sound(context, settings)
    except HiSTalkError as error:
        return str(error)


def order_for(context, obj, discard_edits: bool = False) -> Order:
    """All that a bake needs to know, read once; mixes the timeline down where Blender alone can.

    Args:
        discard_edits: see `plan_bake`.

    Raises:
        HiSTalkError: something must be fixed first, or the earlier bake was changed by hand.
    """
    reason = why_no_order(context, obj)
    if reason:
        raise HiSTalkError(reason)
    check_edits(obj, discard_edits)
    settings = obj.histalk
    recording = _recording(context, settings)
    plan = plan_bake(
        obj,
        kind=settings.kind,
        start_frame=recording.first_frame,
        cache=_folder(settings),
        tolerance_mm=settings.tolerance,
        mapping=settings.mapping(),
        scene=context.scene,
        discard_edits=discard_edits,
    )
    weights = Path(bpy.path.abspath(settings.weights)) if settings.weights else None
    frames = (settings.first, settings.last) if settings.use_range else None
    topology = topology_of(obj, settings.kind)
    return Order(obj.session_uid, topology, plan, recording, weights, settings.device, settings.style(), frames)


def _folder(settings) -> Path | None:
    return Path(bpy.path.abspath(settings.cache_folder)) if settings.cache_folder else None


def _why_no_sound(context, settings) -> str:
    if settings.audio == "FILE":
        if not settings.file:
            return "No sound file is chosen: choose one under Audio."
        path = Path(bpy.path.abspath(settings.file))
        return "" if path.is_file() else f"No sound file at '{path}': choose another under Audio."
    scene = sound_scene(context, settings)
    if abs(scene_fps(scene) - scene_fps(context.scene)) > 1e-3:
        return (
            f"Scene '{scene.name}' plays {scene_fps(scene):g} frames a second and '{context.scene.name}' "
            f"{scene_fps(context.scene):g}, so sound and face would part: make them equal."
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


def _recording(context, settings) -> Recording:
    channel = settings.spoken_channel()
    if settings.audio == "FILE":
        path = Path(bpy.path.abspath(settings.file))
        return Recording(path, 0.0, None, settings.file_frame, path.name, channel=channel)
    scene = sound_scene(context, settings)
    if settings.audio == "TIMELINE":
        return record_timeline(scene, channel)
    return record_strip(scene, chosen_strip(context, settings), channel)
