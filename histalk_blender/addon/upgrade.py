"""Converts settings that an older version saved in a .blend; all such conversions are here.

In 0.1.0 `smoothing` and `delay` were in milliseconds; now they are in seconds. Writing either of them also sets
`in_seconds`, so a value without that mark is an old one. Objects are converted when a file is opened, linked or
appended; if that did not happen, for example as the add-on was enabled later, values are converted when they are read.
"""

from __future__ import annotations

import bpy

ONCE_MILLISECONDS = ("smoothing", "delay")


def read(settings, name: str) -> float:
    """A style setting's value in today's unit, also where it was not upgraded yet."""
    value = getattr(settings, name)
    return value / 1000 if _is_old(settings, name) else value


def upgrade(settings, written: str = "") -> None:
    """Convert what an older version wrote.

    Args:
        settings: an object's `histalk`.
        written: name of the setting that has just been written, which is in seconds.
    """
    old = {name: read(settings, name) for name in ONCE_MILLISECONDS if name != written and _is_old(settings, name)}
    if not old and written not in ONCE_MILLISECONDS:
        return
    settings.in_seconds = True  # first: each value that is written calls this again
    for name, value in old.items():
        setattr(settings, name, value)


def _is_old(settings, name: str) -> bool:
    return name in ONCE_MILLISECONDS and settings.is_property_set(name) and not settings.in_seconds


@bpy.app.handlers.persistent
def upgrade_all(*_) -> None:
    """Upgrade every object of the open file that has settings."""
    for obj in bpy.data.objects:
        if obj.is_property_set("histalk"):  # looking at it would make it
            upgrade(obj.histalk)


def register() -> None:
    """Upgrade what is opened, linked or appended from now on, and in a window the file that is open already."""
    bpy.app.handlers.load_post.append(upgrade_all)
    bpy.app.handlers.blend_import_post.append(upgrade_all)
    if not bpy.app.background:  # where timers never fire
        bpy.app.timers.register(upgrade_all, first_interval=0)  # data is out of reach while an add-on is registered


def unregister() -> None:
    """The exact inverse."""
    if bpy.app.timers.is_registered(upgrade_all):
        bpy.app.timers.unregister(upgrade_all)
    bpy.app.handlers.blend_import_post.remove(upgrade_all)
    bpy.app.handlers.load_post.remove(upgrade_all)
