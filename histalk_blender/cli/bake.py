"""`histalk bake`: a .blend in which a head speaks one recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ..bake.kinds import kind_named
from ..batch.job import FPS, Job
from ..errors import HiSTalkError
from ..files import restore_on_error
from . import common
from .options import FILE, bake_options, device_option, weights_option


@click.command("bake", short_help="A .blend in which a head speaks a recording.")
@click.argument("audio", type=FILE)
@click.option("--out", type=FILE, required=True, help="The .blend to write.")
@bake_options
@click.option("--preview", type=FILE, help="Also render this .mp4, with the sound.")
@weights_option
@device_option
def command(audio: Path, out: Path, job: Job, preview: Path | None, weights: Path | None, device: str) -> None:
    """Write a .blend in which a head speaks AUDIO: the bundled head in a new scene, or a head of a shot.

    Inside Blender, the .blend that Blender was started with is the shot unless another is named.
    """
    common.need_blender()
    from ..bake import bake_performance, check, shot, target_geometry

    common.check_output(out, ".blend")
    if preview:
        common.check_output(preview, ".mp4")
    job = _with_shot(replace(job, audio=audio), shot.startup_blend())
    cache, obj = out.resolve().with_suffix(".pc2"), None
    settings = job.bake_settings(cache)
    if job.shot:
        obj = shot.open_shot(job.shot, job.object)
        check(obj, settings)
        if preview:
            shot.check_camera()
    performance = common.predict_file(audio, weights, device, job.channel)
    if obj:
        common.print_warnings(*filter(None, [shot.add_sound(audio, job.start, obj)]))
    else:
        with_keys = kind_named(settings.kind).needs_arkit_keys
        obj = shot.new_shot(performance, audio, job.start, job.fps or FPS, with_keys, job.style.delay)
    with restore_on_error(cache):  # which is of no use without the .blend that plays it
        report = bake_performance(obj, performance, settings)
        shot.save_shot(out)
    common.print_warnings(*report.warnings)
    accuracy = report.accuracy and f", {report.accuracy}"
    click.echo(f"{out}  ({report.frames} frames, {report.keys} keys{accuracy})")
    if preview:
        frames = job.written_frames(shot.frames_of(performance, target_geometry(obj)[2], job.style.delay))
        with common.progress_bar(preview.name) as progress:
            shot.render_film(preview, *frames, progress)
        click.echo(preview)


def _with_shot(job: Job, opened: str) -> Job:
    """The job on the named shot, else on the one that is open.

    Raises:
        HiSTalkError: other flags do not go with that.
    """
    if opened and not job.shot:
        job = replace(job, shot=Path(opened))
    if job.shot and job.fps:
        raise HiSTalkError("--fps does not go with a shot, which has a rate of its own: leave it out.")
    if job.object and not job.shot:
        raise HiSTalkError(f"--object names '{job.object}', but there is no shot: name its .blend with --shot.")
    return job
