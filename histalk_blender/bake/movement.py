"""Whether a finished bake moves the mesh as its motion says: the evaluated mesh is looked at where it moves most."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import bpy
import numpy as np

from .cache_modifier import our_modifier
from .data import BakeData

LOOKED_AT = 64  # vertices, those that the motion moves furthest
LEAST = 0.25  # share of the motion that must be seen: the animator's own modifiers may take or turn some of it
STILL = 2e-5  # of the mesh's size: a motion that is smaller rests
FRAMES = 4096  # whose displacements are compared at once


def movement_errors(obj, data: BakeData) -> tuple[str, str]:
    """Look at the evaluated mesh at the loudest frame, with the bake and without.

    The object alone stands in a scene of its own for as long: a shot's other objects are not evaluated, its frame and
    its handlers of frame changes are left alone. What the animator's own keys, bones and modifiers do at that frame is
    in both pictures, so that only the bake is compared.

    Returns:
        An error, or ""; and a warning, or "", where there was nothing to look at.
    """
    expected = _strongest_frame(obj, data)
    if expected is None:
        return "", ""
    frame, chosen, wanted = expected
    if obj.mode == "SCULPT":
        return "", f"'{obj.name}' is in Sculpt Mode, so it was not looked at whether it moves."
    with _alone(obj, frame) as layer:
        layer.update()
        if not _is_evaluated(obj, layer.depsgraph):
            return "", f"'{obj.name}' is disabled in viewports, so it was not looked at whether it moves."
        seen = _positions(obj, layer.depsgraph)
        if not len(seen):
            return "", f"'{obj.name}' shows no vertices at frame {frame}, so it was not looked at whether it moves."
        try:
            with data.plan.kind.storage.muted(obj):
                layer.update()
                rest = _positions(obj, layer.depsgraph)
        finally:
            layer.update()
    if len(seen) != len(rest):  # a modifier that follows the motion with its own vertices
        return "", ""
    moved = seen - rest
    if len(moved) != len(data.plan.rest_positions):
        sizes = np.sort(np.linalg.norm(moved, axis=1))[-len(chosen) :]
        as_it_says = True
    else:
        moved = moved[chosen]
        sizes = np.linalg.norm(moved, axis=1)
        size = np.linalg.norm(moved) * np.linalg.norm(wanted)
        turned = any(modifier.show_viewport for modifier in obj.modifiers if modifier != our_modifier(obj))
        as_it_says = turned or (moved * wanted).sum() > 0.5 * size
    if np.isfinite(sizes).all() and sizes.mean() >= LEAST * np.linalg.norm(wanted, axis=1).mean() and as_it_says:
        return "", ""
    return f"'{obj.name}' does not move as the motion says at frame {frame}, where it moves most.", ""


def _strongest_frame(obj, data: BakeData) -> tuple[int, np.ndarray, np.ndarray] | None:
    """A scene frame, the vertices that move furthest in it [n] and their displacements [n, 3]; None = nothing moves."""
    plan, start = data.plan, data.start_frame
    motion = plan.kind.expected_motion(obj, data)
    if not len(motion) or not len(motion.shapes):
        return None
    reach = np.zeros(motion.shapes.shape[1], np.float32)
    for most, shape in zip(np.abs(motion.weights).max(0), motion.shapes, strict=True):
        reach += most * np.linalg.norm(shape, axis=1)
    chosen = np.sort(np.argsort(-reach)[:LOOKED_AT])
    shapes = motion.shapes[:, chosen].reshape(len(motion.shapes), -1)
    first = math.ceil(start - 1e-6)
    frames = np.arange(first, max(first + 1, math.floor(start + len(motion) - 1 + 1e-6) + 1))
    weights = motion.sampled(frames - start).weights
    sizes = np.concatenate(
        [np.linalg.norm(weights[i : i + FRAMES] @ shapes, axis=1) for i in range(0, len(frames), FRAMES)]
    )
    most = int(np.argmax(sizes))
    wanted = (weights[most] @ shapes).reshape(-1, 3)
    if np.linalg.norm(wanted, axis=1).max() < STILL * float(np.ptp(plan.rest_positions, axis=0).max()):
        return None
    return int(frames[most]), chosen, wanted


@contextmanager
def _alone(obj, frame: int) -> Iterator:
    """The view layer of a scene that holds this object only, at a frame."""
    scene = bpy.data.scenes.new("HiSTalk")
    try:
        render, here = scene.render, bpy.context.scene.render
        render.fps, render.fps_base = here.fps, here.fps_base
        scene.collection.objects.link(obj)
        scene.frame_current = frame
        yield scene.view_layers[0]
    finally:
        # Animated values are written back to what they belong to, so they are those of the present frame at last.
        scene.frame_current, scene.frame_subframe = bpy.context.scene.frame_current, bpy.context.scene.frame_subframe
        scene.view_layers[0].update()
        bpy.data.scenes.remove(scene)


def _is_evaluated(obj, depsgraph) -> bool:
    return any(one.original == obj for one in depsgraph.objects) and obj.evaluated_get(depsgraph).is_evaluated


def _positions(obj, depsgraph) -> np.ndarray:
    """[V', 3] of the evaluated mesh, in the object's space."""
    mesh = obj.evaluated_get(depsgraph).data
    out = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", out)
    return out.reshape(-1, 3)
