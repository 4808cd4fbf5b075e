"""Bakes of five minutes of speech: writing against the disk, computing basis keys, and playback in Blender."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
from table import Row, best

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.audio.clip import read_audio
from histalk_blender.bake import bake
from histalk_blender.bake.basis import basis_of
from histalk_blender.bake.scene import add_head
from histalk_blender.head.head import load_head
from histalk_blender.motion.arkit_fit import fit_blendshapes
from histalk_blender.motion.motion import Motion
from histalk_blender.motion.point_cache import write_mdd, write_pc2
from histalk_blender.network import load_checkpoint
from histalk_blender.synthesis import WEIGHTS, synthesize

TITLE = "Bakes of 5 minutes of speech"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"
PLAYED = 600  # frames
RUNS = 9  # of each kind of writing, in turns; the median counts, as other programs use the disk too


def rows() -> Iterator[Row]:
    """Writing, computing, applying and playback."""
    head = load_head()
    sound = np.resize(read_audio(SPEECH), 300 * SAMPLE_RATE)
    motion = synthesize(sound, load_checkpoint(WEIGHTS), head, levels=False).motion
    with tempfile.TemporaryDirectory(dir=".") as folder:
        yield from _writing(Path(folder), motion, head.vertices)
        seconds = best(lambda: basis_of(motion, 0.1), 3)
        reduced, error = basis_of(motion, 0.1)
        yield Row("basis keys, 0.1 mm", seconds, "s", "<= 1", f"{len(reduced.shapes)} keys, {error:.3f} mm off at most")
        yield Row("ARKit blendshapes", best(lambda: fit_blendshapes(motion, head), 1), "s")
        yield from _playing(Path(folder), motion, head)


def _writing(folder: Path, motion: Motion, shown: np.ndarray) -> Iterator[Row]:
    positions = shown.ravel() + motion.weights @ motion.flat
    size = positions.nbytes

    def plain() -> Path:
        path = folder / "plain"
        with open(path, "wb") as file:
            for first in range(0, len(positions), 64):
                file.write(positions[first : first + 64].data)
            file.flush()
            os.fsync(file.fileno())
        return path

    found = {"plain": [], "PC2": [], "MDD": []}
    for _ in range(RUNS):
        for name, write in (
            ("plain", plain),
            ("PC2", lambda: write_pc2(folder / "a.pc2", shown, motion)),
            ("MDD", lambda: write_mdd(folder / "a.mdd", shown, motion)),
        ):
            began = time.perf_counter()
            path = write()
            found[name].append(time.perf_counter() - began)
            path.unlink()
    for name in ("PC2", "MDD"):
        taken, plainly = np.median(found[name]), np.median(found["plain"])
        absolute = (
            f"{taken:.2f} s for {size / 1e6:.0f} MB, {plainly:.2f} s for the same bytes from memory; "
            f"at the disk's best moments {min(found[name]):.2f} and {min(found['plain']):.2f} s"
        )
        yield Row(f"writing {name}", taken / plainly, "x a plain write", "<= 1.5", absolute)


def _playing(folder: Path, motion: Motion, head) -> Iterator[Row]:
    for kind in ("cache", "basis", "arkit"):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.context.scene.render.fps = round(motion.fps)
        obj = add_head(head, units=kind == "arkit")
        began = time.perf_counter()
        bake(obj, motion, kind=kind, cache=folder)
        taken, scene = time.perf_counter() - began, bpy.context.scene
        read, moved = np.empty(3 * len(head.vertices), np.float32), []
        began = time.perf_counter()
        for frame in range(1, PLAYED + 1):
            scene.frame_set(frame)
            mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
            mesh.vertices.foreach_get("co", read)
            moved.append(read[::300].copy())
        rate = PLAYED / (time.perf_counter() - began)
        assert np.ptp(moved, axis=0).max() > 0.002, "nothing moves"
        yield Row(
            f"playing {kind}", rate, "frames a second", ">= 200" if kind != "arkit" else "", f"whole bake {taken:.2f} s"
        )
