"""`histalk bake`: a .blend in which a head speaks one recording."""

from __future__ import annotations

from pathlib import Path

import click

from ..bake.kinds import KINDS, kind_named
from ..errors import HiSTalkError
from ..files import restore_on_error
from . import common
from .options import FILE, bake_options, device_option, weights_option

FPS = 30.0  # of a new scene


@click.command("bake")
@click.argument("audio", type=FILE)
@click.option("--out", type=FILE, required=True, help="The .blend to write.")
@bake_options
@click.option("--preview", type=FILE, help="Also render this .mp4, with the sound.")
@weights_option
@device_option
def command(
    audio: Path,
    out: Path,
    shot,
    name,
    bake,
    options,
    fps,
    start,
    channel,
    style,
    discard_edits,
    preview,
    weights,
    device,
):
    """Write a .blend in which a head speaks AUDIO: the bundled head in a new scene, or a head of a shot.

    Inside Blender the shot is, where none is named, the .blend that Blender was started with.
    """
    common.need_blender()
    from ..bake import BakeSettings, bake_performance, check, target_geometry
    from ..bake import shot as shots

    common.check_output(out, ".blend")
    if preview:
        common.check_output(preview, ".mp4")
    kind, shot = bake or KINDS[0].name, shot or shots.startup_blend()
    if shot and fps:
        raise HiSTalkError("--fps does not go with a shot, which has a rate of its own: leave it out.")
    if not shot and name:
        raise HiSTalkError(f"--object names '{name}', but there is no shot: name its .blend with --shot.")
    obj, cache = shots.open_shot(shot, name) if shot else None, out.resolve().parent / f"{out.stem}.pc2"
    settings = BakeSettings(
        kind=kind,
        options=options,
        style=style,
        start_frame=start,
        ease=bool(shot),
        cache=cache,
        discard_edits=discard_edits,
    )
    if shot:
        check(obj, settings)
        if preview:
            shots.check_camera()
    performance = common.predict_file(audio, weights, device, channel)
    if shot:
        common.remark(*filter(None, [shots.add_sound(audio, start, obj)]))
    else:
        obj = shots.new_shot(performance, audio, start, fps or FPS, kind_named(kind).needs_arkit_keys, style.delay)
    with restore_on_error(cache):  # which is of no use without the .blend that plays it
        report = bake_performance(obj, performance, settings)
        shots.save_shot(out)
    common.remark(*report.warnings)
    accuracy = report.accuracy and f", {report.accuracy}"
    click.echo(f"{out}  ({report.frames} frames, {report.keys} keys{accuracy})")
    if preview:
        with common.progress_bar(preview.name) as progress:
            last = start + shots.frames_of(performance, target_geometry(obj)[2], style.delay) - 1
            shots.render_film(preview, start, last, progress)
        click.echo(preview)
