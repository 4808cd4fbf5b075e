"""One clip's files, each under its name only when it is whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import HiSTalkError
from ..files import commit_file
from ..head.head import load_head
from ..motion.arkit_files import write_units
from ..motion.placing import from_sound_on
from ..motion.point_cache import write_mdd, write_pc2
from ..motion.retarget import recognise
from ..synthesis import Performance, save_motion
from .ledger import sha256
from .manifest import IN_BLENDER, Job
from .names import place_in

FPS = 30.0  # of the bundled head's outputs where a job names no rate


@dataclass(frozen=True)
class Written:
    """What was made."""

    outputs: tuple[dict, ...]  # path relative to the output folder, bytes, sha256
    remarks: tuple[str, ...]


def write_outputs(job: Job, performance: Performance, folder: Path) -> Written:
    """Make all that a job asks for; what was there before is replaced file by file.

    Raises:
        HiSTalkError: anything of it cannot be made.
    """
    paths = {kind: place_in(folder, file) for kind, file in job.files().items()}
    remarks = list(performance.remarks)
    rest = shown = load_head().vertices
    fps, spoken, cache = job.fps or FPS, False, paths.get("pc2")
    if job.blend or IN_BLENDER & set(paths):
        from ..bake import shot  # Blender's module only where it is needed

        if job.blend:
            obj = shot.open_shot(job.blend, job.object)
            if IN_BLENDER & set(paths):
                shot.check_head(obj, kind=job.bake, cache=cache, discard_edits=job.discard_edits)
            if "mp4" in paths:
                shot.check_camera()
            remarks += filter(None, [shot.add_sound(job.audio, job.start, obj)])
        else:
            obj = shot.new_shot(performance, job.audio, job.start, fps, job.bake == "arkit", job.style.delay)
        rest, shown, fps = shot.seat(obj)
        if spoken := bool(IN_BLENDER & set(paths)):
            report = shot.speak(
                obj,
                performance,
                kind=job.bake,
                start=job.start,
                cache=cache,
                tolerance_mm=job.tolerance,
                style=job.style,
                rest=job.blend is not None,
                discard_edits=job.discard_edits,
            )
            remarks += report.warnings
            frames = shot.frames_of(performance, fps, job.style.delay)
            shot.write(obj, {kind: path for kind, path in paths.items() if kind in IN_BLENDER}, job.start, frames)
    points = {kind: path for kind, path in paths.items() if kind not in IN_BLENDER}
    if spoken and job.bake == "cache":
        points.pop("pc2", None)  # written by the bake
    if path := points.pop("livelink", None):
        units = replace(
            performance.motion, weights=job.style.apply_to_units(performance.arkit_weights, performance.fps)
        )
        write_units(path, from_sound_on(units, fps, job.style.delay).weights, fps, "livelink")
    if points:
        _write_points(job, performance, points, rest, shown, fps)
    outputs = tuple(
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}
        for _, path in sorted(paths.items())
    )
    return Written(outputs, tuple(remarks))


def _write_points(
    job: Job, performance: Performance, paths: dict[str, Path], rest: np.ndarray, shown: np.ndarray, fps: float
) -> None:
    """What needs no Blender: every vertex of every frame.

    Args:
        paths: "pc2", "mdd" and "npz" -> where to.
        rest, shown: [V, 3] the head's positions without, and with the user's own shape keys.
    """
    topology = recognise(rest)
    if not topology:
        raise HiSTalkError(f"The object is no FLAME head nor the bundled one: leave {' and '.join(sorted(paths))} out.")
    motion = from_sound_on(performance.retarget(topology, rest, job.style), fps, job.style.delay)
    for kind, write in (("pc2", write_pc2), ("mdd", write_mdd)):
        if kind in paths:
            try:
                commit_file(write(paths[kind], shown, motion), paths[kind])
            except OSError as error:
                raise HiSTalkError(f"'{paths[kind]}' cannot be written ({error.strerror}): fix that.") from error
    if "npz" in paths:
        save_motion(paths["npz"], motion, {"neutral_vertices": rest, "topology": topology})
