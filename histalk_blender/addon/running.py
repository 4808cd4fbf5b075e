"""The one bake that runs, and what may happen to Blender meanwhile."""

from __future__ import annotations

from dataclasses import replace

import bpy

from ..bake.checks import why_nothing_moves
from .job import BakeJob, Order, takes

current: BakeJob | None = None
# The last order baked on each head, by session_uid, with its take: sliders start from it.
baked: dict[int, Order] = {}
remembered: BakeJob | None = None  # the last job that ended badly, for the panel to say so


def begin(order: Order) -> BakeJob:
    """Start a job, as the one that runs."""
    global current, remembered
    remembered = None
    current = BakeJob(order)
    current.start()
    return current


def finish(obj) -> str:
    """Store what the ended job made on its object. Returns the sentence that tells it."""
    global current, remembered
    job, current = current, None
    if job.state != "done":
        remembered = job
        return job.error or "Bake cancelled; the scene is as it was."
    baked[job.order.uid] = replace(job.order, take=job.take)
    made = {"cache": "a mesh cache", "arkit": f"curves on {job.report.curves} of {job.report.keys} ARKit keys"}
    what = made.get(job.report.kind, f"{job.report.keys} shape keys")
    error = job.report.accuracy and f", {job.report.accuracy}"
    obj.histalk.report = f"{job.report.frames} frames as {what}{error}, in {job.seconds:.1f} s"
    # What hides a bake may be mended at any time: the panel looks for it by itself.
    passing = why_nothing_moves(obj)
    lasting = [warning for warning in job.report.warnings if warning not in passing]
    obj.histalk.warnings = "\n".join([*job.take.remarks, *lasting])
    return obj.histalk.report


def stop_current(wait: float = 0.0) -> None:
    """Cancel what runs; the worker has `wait` seconds to notice."""
    global current
    if current is not None:
        current.cancel()
        current.join(wait)
        current = None


@bpy.app.handlers.persistent
def before_load(*_) -> None:
    """The objects of another file are not those that the bake was ordered for."""
    stop_current()
    baked.clear()


def clean_up() -> None:
    """For unregistering: nothing of ours goes on."""
    from ..take import forget

    stop_current(wait=5.0)
    baked.clear()
    takes.clear()
    forget()
