"""A take: what the network made of one recording, kept so that style, head and bake may change without it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import HiSTalkError
from ..head import flame
from ..head.head import Head, load_head
from ..motion.arkit_fit import fit_units, playable
from ..motion.motion import Motion
from ..motion.style import Style
from ..runtime.imports import load_network, uncollected
from . import WEIGHTS, Performance, synthesize_many
from .checks import check_outputs
from .clips import hear

if TYPE_CHECKING:
    from ..audio.clip import Sound

WINDOWS = ((50.4, 7.2), (16.8, 7.2), (9.6, 4.8))  # seconds of a window and its overlap, each for less memory
SAME_SIZE, SAME_TURN = 0.05, 0.1  # of a bundled head that was sculpted on: neither scaled nor turned on purpose


@dataclass(frozen=True, eq=False)
class Take:
    """One recording, heard."""

    performance: Performance  # on the bundled head

    @cached_property
    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        """Worked out when a style or a bake first asks for units: it takes longer than hearing."""
        return fit_units(self.performance.motion, load_head())

    @property
    def units(self) -> np.ndarray:
        """[T, 52] ARKit weights nearest to it."""
        return self._fitted[0]

    @property
    def over(self) -> np.ndarray:
        """[T] metres that the units leave over."""
        return self._fitted[1]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know of how it was made."""
        return self.performance.remarks

    def motion_on(self, topology: str, rest: np.ndarray, style: Style) -> Motion:
        """The styled motion for one head's own vertices, unit and axes.

        Args:
            topology: "histalk" or "flame".
            rest: [V, 3] the head's neutral positions.
            style: how it speaks.

        Raises:
            HiSTalkError: the vertices are not that topology's, or not in its order.
        """
        head = load_head()
        if topology == "flame":
            scale, rotation = flame.pose_of(rest, head)
            shapes = self.performance.outputs["flame"]
        else:
            scale, rotation = bundled_pose(rest, head)
            shapes = self.performance.motion.shapes
        motion = self.performance.motion.on(shapes)
        if style.scales:
            units = head.unit_deltas()
            motion = style.scaled(
                motion, self.units, flame.load_flame_map().move(units) if topology == "flame" else units
            )
        motion = motion.smoothed(style.smoothing)
        if scale == 1.0:
            return motion
        return motion.on(motion.shapes @ (scale * rotation).T.astype(np.float32))

    def units_in(
        self, style: Style, limits: np.ndarray | None = None, own: Head | None = None
    ) -> tuple[Motion, np.ndarray]:
        """The styled motion as the ARKit weights that a rig plays.

        Args:
            style: how it speaks.
            limits: [52, 2] of the rig's weights, see `arkit.fit_units`; None = it has all, from 0 to 1.
            own: the bundled head with the rig's units where they are others; the limits are then given.

        Returns:
            The weights as a motion without vertices, and what they leave over [T] of the styled motion, in metres.
        """
        head, motion = load_head(), self.performance.motion
        if style.scales:
            motion = style.scaled(motion, self.units, head.unit_deltas())
        motion = motion.smoothed(style.smoothing)
        weights, over = playable(motion, own or head, limits, style.apply_to_units(self.units, motion.fps))
        return Motion(weights, np.zeros((weights.shape[1], 0, 3), np.float32), motion.fps), over


def bundled_pose(rest: np.ndarray, head: Head) -> tuple[float, np.ndarray]:
    """How a bundled head was scaled and turned since it was added: scale, rotation [3, 3]; 1.0 when it was not.

    Raises:
        HiSTalkError: its landmarks are not where the bundled head's vertex order has them.
    """
    theirs, ours = head.landmarks(rest.astype(np.float64)), head.landmarks(head.vertices.astype(np.float64))
    scale, rotation = flame.pose_by_landmarks(theirs, ours, "the bundled head's")
    turn = np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    return (1.0, np.eye(3)) if abs(scale - 1) < SAME_SIZE and turn < SAME_TURN else (scale, rotation)


def size_of(rest: np.ndarray) -> float:
    """How many times larger than the bundled head, which is human-sized, a head [V, 3] is modelled; 1 if unknown."""
    try:
        topology = topology_with(len(rest))
        pose = {"flame": flame.pose_of, "histalk": bundled_pose}.get(topology)
        return pose(rest, load_head())[0] if pose else 1.0
    except HiSTalkError:  # so many vertices by chance
        return 1.0


def topology_with(vertices: int) -> str:
    """The topology that has so many vertices: "flame", "histalk" or ""."""
    return {flame.VERTICES: "flame", len(load_head().vertices): "histalk"}.get(vertices, "")


def recognise(rest: np.ndarray) -> str:
    """ "flame", "histalk" or "" by the number of vertices [V, 3] and where their landmarks lie.

    Raises:
        HiSTalkError: the number is right and the order is not.
    """
    topology = topology_with(len(rest))
    if topology:
        pose = flame.pose_of if topology == "flame" else bundled_pose
        pose(rest, load_head())
    return topology


def listen(
    sound: Sound | np.ndarray,
    weights: Path | None,
    device: str,
    say: Callable[[str, float], None],
    levels: bool = False,
) -> Take:
    """A sound to a take, on a device that has the memory for it.

    Args:
        sound: or its samples, [N] float32 at 16 kHz.
        weights: a checkpoint; None = the bundled one.
        device: "auto", "cpu", "cuda" or "cuda:N".
        say: called with the stage's name and the share of it done; what it raises ends the work.
        levels: see `synthesize_many`.

    Raises:
        HiSTalkError: the weights cannot be read, or there is no such device.
    """
    say("Listening", 0.0)
    load_network()
    device = pick_device(device)
    return Take(*perform([sound], weights, device, levels=levels, progress=lambda share: say("Listening", share)))


def pick_device(name: str) -> str:
    """The torch device for "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        HiSTalkError: there is no such device, or CUDA was asked for and there is none.
    """
    import torch

    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise HiSTalkError(f"There is no device '{name}': choose auto, cpu, cuda or cuda:N.")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise HiSTalkError("No CUDA device is usable here: choose the CPU, or the device automatically.")
    count = torch.cuda.device_count() if ":" in name else 0
    if ":" in name and int(name[5:]) >= count:
        raise HiSTalkError(f"There is no device '{name}': the last one here is cuda:{count - 1}.")
    return name


_models: dict[tuple, object] = {}


def _model(path: Path, device: str):
    """The checkpoint, kept for the next take; one at a time."""
    from ..network import load_checkpoint

    with uncollected():
        key = (path, path.stat().st_mtime_ns if path.exists() else 0, device)
        if key not in _models:
            _models.clear()
            _models[key] = load_checkpoint(path, device)
        return _models[key]


def check_weights(weights: Path | None, device: str) -> None:
    """Tell what is wrong with a checkpoint before any clip is heard; the first clip finds it read.

    Raises:
        HiSTalkError: it cannot be read, or is of no use for the bundled head.
    """
    head = load_head()
    check_outputs(_model(Path(weights or WEIGHTS), device), head.topology, len(head.vertices))


def warm_up(weights: Path | None, device: str) -> None:
    """Let the first take find PyTorch imported, the weights read and the device at work.

    Args:
        weights, device: as for `listen`.

    Raises:
        HiSTalkError: as `listen`.
    """
    load_network()
    device = pick_device(device)
    noise = np.random.default_rng(0).normal(0, 0.05, 16_000).astype(np.float32)
    for _ in hear(_model(Path(weights or WEIGHTS), device), [noise], device):
        pass
    load_head().unit_deltas()


def forget() -> None:
    """Give the memory of the network back."""
    _models.clear()


def perform(
    clips: Sequence[Sound | np.ndarray],
    weights: Path | None,
    device: str,
    rows: int = 1,
    levels: bool = True,
    progress: Callable[[float], None] | None = None,
) -> list[Performance]:
    """Clips' motion on the bundled head; a full GPU is answered with shorter and fewer windows, and then with the CPU.

    Args:
        clips: sounds, or the samples of each, [N] float32 at 16 kHz.
        weights: a checkpoint; None = the bundled one.
        device: a torch device, see `pick_device`.
        rows: windows that the network hears at once.
        levels: see `synthesize_many`.
        progress: called with the share done.

    Raises:
        HiSTalkError: the weights cannot be read.
    """
    import torch

    model, head = _model(Path(weights or WEIGHTS), device), load_head()
    for (window, overlap), at_once in zip(WINDOWS, (rows, 1, 1)) if device != "cpu" else [(WINDOWS[0], rows)]:
        try:
            found = synthesize_many(
                clips,
                model,
                head,
                device=device,
                window_s=window,
                overlap_s=overlap,
                rows=at_once,
                levels=levels,
                progress=progress,
            )
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            continue
        full = f"The GPU's memory was full, so the sound was heard in windows of {window:g} s."
        return found if window == WINDOWS[0][0] else [replace(one, remarks=(full,)) for one in found]
    forget()
    found = synthesize_many(clips, model.to("cpu"), head, levels=levels, progress=progress)
    return [replace(one, remarks=("The GPU's memory was full, so the CPU did the work.",)) for one in found]
