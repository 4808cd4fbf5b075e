"""The one bake that runs, and what may happen to Blender meanwhile."""

from __future__ import annotations

from dataclasses import replace

import bpy

from ..bake.checks import what_drifts, why_nothing_moves
from ..errors import HiSTalkError
from .bake_job import BakeJob, Order, performances

current: BakeJob | None = None
# The last order baked on each head, by session_uid, with its take: sliders start from it.
baked: dict[int, Order] = {}
remembered: BakeJob | None = None  # the last job that ended badly, for the panel to say so


def begin(order: Order) -> BakeJob:
    """Start a job, as the one that runs."""
    global current, remembered
    remembered = None
    job = BakeJob(order)
    job.start()
    current = job
    return job


def finish(obj) -> str:
    """Free the way for the next job, and store what the ended one made on its object. Never raises.

    Args:
        obj: the object; None = it is gone.

    Returns:
        The sentence that tells it. A job whose result could not be stored has failed.
    """
    global current, remembered
    job, current = current or remembered, None
    if job is None:
        return ""
    if job.state == "done":
        try:
            return _store(obj, job)
        except Exception as error:
            job.fail(error)
    remembered = job
    if obj is not None and job.state == "failed":
        obj.histalk.report = obj.histalk.warnings = ""  # which told of an earlier bake
    return job.error or "Bake cancelled; the scene is as it was."


def _store(obj, job: BakeJob) -> str:
    if obj is None:
        raise HiSTalkError(f"'{job.order.plan.name}' was deleted during the bake, so nothing was baked.")
    made = {"cache": "a mesh cache", "arkit": f"curves on {job.report.curves} of {job.report.keys} ARKit keys"}
    what = made.get(job.report.kind, f"{job.report.keys} shape keys")
    error = job.report.accuracy and f", {job.report.accuracy}"
    obj.histalk.report = f"{job.report.frames} frames as {what}{error}, in {job.seconds:.1f} s"
    # What hides a bake may be mended at any time: the panel looks for it by itself.
    passing = [*why_nothing_moves(obj), *what_drifts(bpy.context.scene)]
    lasting = [warning for warning in job.report.warnings if warning not in passing]
    obj.histalk.warnings = "\n".join([*job.performance.remarks, *lasting])
    baked[job.order.uid] = replace(job.order, performance=job.performance)
    return obj.histalk.report


def stop_current(wait: float = 0.0) -> None:
    """Cancel what runs and free the way; the worker has `wait` seconds to notice. Never raises."""
    global current, remembered
    job, current = current, None
    if job is not None:
        job.cancel()
        remembered = job
        job.join(wait)


@bpy.app.handlers.persistent
def before_load(*_) -> None:
    """The objects of another file are not those that the bake was ordered for."""
    global remembered
    stop_current()
    remembered = None
    baked.clear()


def clean_up() -> None:
    """For unregistering: nothing of ours goes on."""
    from ..synthesis.engine import forget

    stop_current(wait=5.0)
    baked.clear()
    performances.clear()
    forget()
