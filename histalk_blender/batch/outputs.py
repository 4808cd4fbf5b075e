"""One clip's files, each under its name only when it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..bake.kinds import kind_named
from ..head.head import load_head
from ..synthesis import Performance
from .job import FPS, Job
from .ledger import sha256
from .names import output_path
from .output_kinds import ClipResult, output_kind


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
    paths = {name: output_path(folder, file) for name, file in job.files().items()}
    remarks = list(performance.remarks)
    if job.needs_blender:
        clip = _bake(job, performance, paths, remarks)
    else:
        vertices = load_head().vertices
        clip = ClipResult(job, performance, job.fps or FPS, vertices, vertices)
    for name, path in paths.items():
        if name != job.baked_output:
            output_kind(name).write(clip, path)
    outputs = tuple(
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}
        for _, path in sorted(paths.items())
    )
    return Written(outputs, tuple(remarks))


def _bake(job: Job, performance: Performance, paths: dict[str, Path], remarks: list[str]) -> ClipResult:
    """Open the job's head and, where an output plays it, bake on it; what the user should know goes to `remarks`."""
    from ..bake import bake_performance, check, shot, target_geometry  # Blender's module only where it is needed

    settings = job.bake_settings(paths.get(job.baked_output))
    if job.shot:
        obj = shot.open_shot(job.shot, job.object)
        if job.is_baked:
            check(obj, settings)
        for name in job.outputs:
            output_kind(name).check_scene()
        remarks += filter(None, [shot.add_sound(job.audio, job.start, obj)])
    else:
        with_keys = kind_named(job.bake).needs_arkit_keys
        obj = shot.new_shot(performance, job.audio, job.start, job.fps or FPS, with_keys, job.style.delay)
    basis, shown, fps = target_geometry(obj)
    if job.is_baked:
        remarks += bake_performance(obj, performance, settings).warnings
    return ClipResult(job, performance, fps, basis, shown, obj)
