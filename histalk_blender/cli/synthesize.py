"""`histalk synthesize`: the motion of one recording as arrays."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import HiSTalkError
from . import common
from .options import FILE, channel_option, device_option, weights_option


@click.command("synthesize", short_help="The motion of a recording as arrays (.npz).")
@click.argument("audio", type=FILE)
@click.argument("out", type=FILE)
@click.option("--arkit", type=FILE, help="Also write the 52 ARKit weights of each frame: .csv or .json.")
@click.option(
    "--arkit-layout",
    "layout",
    type=click.Choice(["histalk", "livelink"]),
    default="histalk",
    show_default=True,
    help="livelink: a .csv as Live Link Face records, for Unreal, MotionBuilder and Faceit.",
)
@channel_option
@weights_option
@device_option
def command(audio: Path, out: Path, arkit: Path | None, layout: str, channel: str, weights: Path | None, device: str):
    """Write the motion of AUDIO to OUT (.npz): displacements in metres, landmarks, gates."""
    from ..motion.arkit_files import write_arkit_weights

    common.check_output(out, ".npz")
    if arkit:
        common.check_output(arkit, ".csv", *([".json"] if layout == "histalk" else []))
    elif layout != "histalk":
        raise HiSTalkError("--arkit-layout goes with --arkit: name the file to write.")
    performance = common.predict_file(audio, weights, device, channel, levels=True)
    performance.save(out)
    click.echo(out)
    if arkit:
        write_arkit_weights(arkit, performance.arkit_weights, performance.fps, layout)
        worst = performance.residual.max() * 1000
        click.echo(f"{arkit}  (52 blendshapes, {worst:.2f} mm root mean square off in the worst frame)")
