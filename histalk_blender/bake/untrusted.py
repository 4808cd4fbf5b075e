"""What a .blend from anywhere must not do while we play, render and save it, and how it is as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy

from .actions import curve_bags

# What simulations were before they were held, by who they belong to: pointers would not outlive the file.
_before: dict[tuple, object] = {}


@contextmanager
def simulations_held_on_load() -> Iterator[None]:
    """A file that is opened within plays no simulation that writes files, from its first frame on.

    Fluids write their cache wherever the file says, by a script that they put together; simulations with a cache on the
    disk that is not baked write it beside the .blend. Neither is what a bake was asked for.
    """

    @bpy.app.handlers.persistent
    def hold(*_) -> None:
        _before.clear()
        for key, owner, name, value in _simulations():
            _before[key] = getattr(owner, name)
            setattr(owner, name, value)

    bpy.app.handlers.load_post.insert(0, hold)  # it comes before the file's first frame
    try:
        yield
    finally:
        bpy.app.handlers.load_post.remove(hold)


@contextmanager
def simulations_saved_as_they_were() -> Iterator[None]:
    """What `simulations_held_on_load` has changed is as it was in the file in whatever is saved within.

    By handlers, as operators play what was changed before they begin.
    """

    @bpy.app.handlers.persistent
    def release(*_) -> None:
        for key, owner, name, _ in _simulations():
            if key in _before:
                setattr(owner, name, _before[key])

    @bpy.app.handlers.persistent
    def hold(*_) -> None:
        for key, owner, name, value in _simulations():
            if key in _before:
                setattr(owner, name, value)

    handlers = bpy.app.handlers
    handlers.save_pre.append(release)
    handlers.save_post.insert(0, hold)
    handlers.save_post_fail.insert(0, hold)
    try:
        yield
    finally:
        handlers.save_pre.remove(release)
        handlers.save_post.remove(hold)
        handlers.save_post_fail.remove(hold)


def _simulations() -> Iterator[tuple[tuple, object, str, object]]:
    """Settings that keep simulations from writing: who, whose, which, and the value."""
    for obj in bpy.data.objects:
        for modifier in obj.modifiers:
            if not _writes(modifier):
                continue
            for name in ("show_viewport", "show_render"):
                yield (obj.session_uid, modifier.name, name), modifier, name, False
            path = f'modifiers["{bpy.utils.escape_identifier(modifier.name)}"].show_'
            for i, curve in enumerate(_curves(obj)):
                if curve.data_path.startswith(path):
                    yield (obj.session_uid, curve.data_path, i), curve, "mute", True
    for scene in bpy.data.scenes:
        if scene.rigidbody_world and _unbaked_on_disk(scene.rigidbody_world.point_cache):
            yield (scene.session_uid, "rigidbody_world"), scene.rigidbody_world, "enabled", False


def _writes(modifier) -> bool:
    if modifier.type == "FLUID":
        return modifier.fluid_type == "DOMAIN"
    caches = [modifier]
    if modifier.type == "PARTICLE_SYSTEM":
        caches = [modifier.particle_system]
    elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings:
        caches = modifier.canvas_settings.canvas_surfaces
    return any(_unbaked_on_disk(getattr(owner, "point_cache", None)) for owner in caches)


def _unbaked_on_disk(cache) -> bool:
    return cache is not None and cache.use_disk_cache and not cache.is_baked


@contextmanager
def changed(owner, **values: object) -> Iterator[None]:
    """Blender settings for a while; those that this version does not have are passed over."""
    values = {name: value for name, value in values.items() if hasattr(owner, name)}
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():  # in the same order: a kind of file before its format
            setattr(owner, name, value)


@contextmanager
def curves_muted(block, *paths: str) -> Iterator[None]:
    """No F-curve or driver of a data-block sets anything below these RNA paths."""
    muted = [curve for curve in _curves(block) if not curve.mute and curve.data_path.startswith(paths)]
    for curve in muted:
        curve.mute = True
    try:
        yield
    finally:
        for curve in muted:
            curve.mute = False


def _curves(block) -> Iterator:
    animation = block.animation_data
    if animation is None:
        return
    yield from animation.drivers
    for bag in curve_bags(animation):
        yield from bag.fcurves
    for track in animation.nla_tracks:
        for strip in track.strips:
            for layer in strip.action.layers if strip.action else ():
                for part in layer.strips:
                    for bag in part.channelbags:
                        yield from bag.fcurves
