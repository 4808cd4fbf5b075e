"""What the add-on remembers while it is switched on: one `Session`, which `register` opens and `unregister` closes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import bpy

from ..bake.checks import time_stretch_warnings, visibility_warnings
from ..errors import HiSTalkError
from ..synthesis import Performance, engine
from .bake_job import BakeJob, BakeRequest
from .devices import GpuQuery
from .environment import Environment
from .live_style import LiveStyle
from .preload import Preloader
from .ui import Timer, redraw, shown_objects

WATCH_INTERVAL = 0.5  # seconds between two looks at which object the panel shows
CLOSE_TIMEOUT = 5.0  # seconds that a worker has to notice that the add-on is switched off


class Session:
    """All state of the add-on that is not saved in a .blend or in the preferences.

    job: the bake that runs, or None.
    failed_job: the last bake that did not finish, for the panel to say why.
    requests: the last request baked on each object, by session_uid, with its performance; sliders start from it.
    cli_command: Blender's handle of `blender --command histalk`.
    performances: of the sounds used last, newest last, so that other sliders, heads and kinds of bake need no network.
    """

    def __init__(self) -> None:
        self.job: BakeJob | None = None
        self.failed_job: BakeJob | None = None
        self.requests: dict[int, BakeRequest] = {}
        self.performances: OrderedDict[tuple, Performance] = OrderedDict()
        self.environment = Environment()
        self.preloader = Preloader(self.environment)
        self.gpu = GpuQuery()
        self.live_style = LiveStyle(self)
        self.cli_command: object = None
        self._watch = Timer(self.watch_panel, persistent=True)

    def start_watching(self) -> None:
        """Load in the background what the open panel will need. Without a window there is no panel."""
        if not bpy.app.background:
            self._watch.start(WATCH_INTERVAL)

    def watch_panel(self) -> float:
        """Start what the objects that are shown need. Returns seconds to the next look."""
        objects = shown_objects(bpy.context)
        if objects:
            self.gpu.start()
        for obj in objects:
            self.preloader.consider(bpy.context, obj)
        if self.gpu.just_answered():
            redraw()
        return WATCH_INTERVAL

    def start_bake(self, request: BakeRequest) -> BakeJob:
        """Start a job, as the one that runs."""
        self.failed_job = None
        job = BakeJob(request, self.performances)
        job.start()
        self.job = job
        return job

    def finish_bake(self, obj) -> str:
        """Let the next bake start, and store the result of the ended one on its object. Never raises.

        Args:
            obj: the object; None = it was deleted.

        Returns:
            A sentence on the result. A job whose result could not be stored has failed.
        """
        job, self.job = self.job or self.failed_job, None
        if job is None:
            return ""
        if job.state == "done":
            try:
                return self._store(obj, job)
            except Exception as error:
                job.fail(error)
        self.failed_job = job
        if obj is not None and job.state == "failed":
            obj.histalk.report = obj.histalk.warnings = ""  # those of an earlier bake
        return job.error or "Bake cancelled; the scene is as it was."

    def _store(self, obj, job: BakeJob) -> str:
        if obj is None:
            raise HiSTalkError(f"'{job.request.plan.name}' was deleted during the bake, so nothing was baked.")
        error = job.report.accuracy and f", {job.report.accuracy}"
        obj.histalk.report = f"{job.report.frames} frames as {job.report.content}{error}, in {job.seconds:.1f} s"
        # What hides a bake may be fixed at any time: the panel checks for it at each redraw.
        passing = [*visibility_warnings(obj), *time_stretch_warnings(bpy.context.scene)]
        lasting = [warning for warning in job.report.warnings if warning not in passing]
        obj.histalk.warnings = "\n".join([*job.performance.remarks, *lasting])
        self.requests[job.request.uid] = replace(job.request, performance=job.performance)
        return obj.histalk.report

    def stop_bake(self, wait: float = 0.0) -> None:
        """Cancel the bake that runs; its worker has `wait` seconds to notice. Never raises."""
        job, self.job = self.job, None
        if job is not None:
            job.cancel()
            self.failed_job = job
            job.join(wait)

    def forget_file(self) -> None:
        """Another .blend is opened: its objects are not those of the bake that runs or of the requests."""
        self.live_style.stop()
        self.stop_bake()
        self.failed_job = None
        self.requests.clear()

    def close(self) -> None:
        """End all jobs, timers and threads, and give the memory of the network back."""
        self._watch.stop()
        self.live_style.stop()
        self.preloader.close()
        self.gpu.close()
        self.stop_bake(CLOSE_TIMEOUT)
        self.environment.close(CLOSE_TIMEOUT)
        engine.unload()


_session: Session | None = None


def open_session() -> Session:
    """Make the session, for `register`."""
    global _session
    _session = Session()
    return _session


def get_session() -> Session:
    """The session; there is one as long as the add-on is registered."""
    if _session is None:
        raise RuntimeError("The HiSTalk add-on is not registered.")
    return _session


def close_session() -> None:
    """Close the session, for `unregister`."""
    global _session
    get_session().close()
    _session = None


@bpy.app.handlers.persistent
def before_load(*_) -> None:
    """Blender's `load_pre` handler."""
    get_session().forget_file()
