"""What a .blend from anywhere must not do while we play, render and save it, and how it is as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .ownership import curve_bags


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
