"""The open scene as a film with its sound. Whoever made the scene: nothing else is written, and no code of its runs."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import bpy

from ..runtime import processes
from ..runtime.output import silence_fd
from ..runtime.process_exit import raise_if_stopped, signals_deferred
from .untrusted import changed, curves_muted
from .writing import blender_output

CAN_DRAW = Path(__file__).with_name("can_draw.py")
CHANNELS = 128  # of a sequence editor
SET = ("sequence_editor", "render", "cycles", "display")  # what no curve of the scene may change back


@cache
def workbench_renders() -> bool:
    """Whether this machine can draw without a screen; asked in a child, as Blender ends the process if it cannot."""
    try:
        return processes.run(processes.script_command(CAN_DRAW), timeout=120).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def render_preview(path: Path, size: int = 512, progress: Callable[[float], None] = lambda share: None) -> None:
    """Render the scene's range into an mp4 with its sound: Workbench, or Cycles where nothing can be drawn with OpenGL.

    The picture is that of the scene's camera: compositor, picture strips, Freestyle and stereo are left out, as they
    may write files of their own. Afterwards the scene is as it was.

    Args:
        path: the .mp4.
        size: pixels of its sides; Cycles halves them.
        progress: called with the share done after each frame; what it raises ends the film.

    Raises:
        HiSTalkError: the film cannot be written.
    """
    scene = bpy.context.scene
    with (
        blender_output(path, "rendered") as temporary,
        tempfile.TemporaryDirectory(prefix="histalk-") as scratch,
        silence_fd(1),
        changed(scene, use_preview_range=False, frame_step=1),
    ):
        sound = _mix(scene, Path(scratch, "sound.wav"))
        with curves_muted(scene, *SET), _settings(scene, temporary, size), _only_strip(scene, sound):
            _render(scene, progress)


@contextmanager
def _settings(scene, path: Path, size: int) -> Iterator[None]:
    render, shading = scene.render, scene.display.shading
    width = size if (drawn := workbench_renders()) else size // 2
    with (
        changed(
            render,
            engine="BLENDER_WORKBENCH" if drawn else "CYCLES",
            resolution_x=width,
            resolution_y=width,
            resolution_percentage=100,
            use_border=False,
            use_compositing=False,
            use_sequencer=True,
            use_freestyle=False,
            use_multiview=False,
            use_persistent_data=not drawn,
            filepath=str(path),
            use_file_extension=False,
            use_overwrite=True,
            use_placeholder=False,
            use_auto_generate_texture_cache=False,
            use_stamp_date=False,  # the clock in its metadata: equal scenes, equal films
        ),
        changed(shading, light="STUDIO", color_type="MATERIAL", show_cavity=True),
        # A script that a material names stays off.
        changed(scene.cycles, samples=12, use_denoising=True, shading_system=False),
        changed(render.image_settings, media_type="VIDEO", file_format="FFMPEG"),
        changed(
            render.ffmpeg,
            format="MPEG4",
            codec="H264",
            audio_codec="AAC",
            constant_rate_factor="HIGH",
            use_autosplit=False,
        ),
    ):
        yield


def _mix(scene, path: Path) -> Path | None:
    """All that sounds in the scene's range, as one file; None where there are no strips."""
    if not scene.sequence_editor or not scene.sequence_editor.strips_all:
        return None
    bpy.ops.sound.mixdown(filepath=str(path), check_existing=False, container="WAV", codec="PCM", format="F32")
    return path


@contextmanager
def _only_strip(scene, sound: Path | None) -> Iterator[None]:
    """The mix in place of all strips: Blender would render the pictures of the others, and other scenes with them.

    Without the sequencer it writes a silent film.
    """
    if sound is None:
        yield
        return
    editor = scene.sequence_editor
    before = [(strip, strip.mute) for strip in editor.strips_all]
    for strip, _ in before:
        strip.mute = True
    channel = min(max(strip.channel for strip, _ in before) + 1, CHANNELS)
    ours = editor.strips.new_sound("HiSTalk film", str(sound), channel, scene.frame_start)
    block = ours.sound
    try:
        with changed(editor.channels[channel], mute=False):
            yield
    finally:
        editor.strips.remove(ours)
        bpy.data.sounds.remove(block)
        for strip, mute in before:
            strip.mute = mute


def _render(scene, progress: Callable[[float], None]) -> None:
    frames, camera, raised = scene.frame_end - scene.frame_start + 1, scene.camera, []

    def frame_done(scene, *_) -> None:
        try:
            progress((scene.frame_current - scene.frame_start + 1) / frames)
            raise_if_stopped()
        except BaseException as error:  # Blender would print it and go on
            raised.append(error)
            scene.camera = None  # the one thing that ends the rendering of an animation

    bpy.app.handlers.render_post.append(frame_done)
    try:
        with signals_deferred():
            bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.render_post.remove(frame_done)
        scene.camera = camera
        if raised:
            raise raised[0]
