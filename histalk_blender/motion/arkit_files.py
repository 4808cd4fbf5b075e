"""ARKit weights as files for other programs: plain tables, and recordings as of Epic's Live Link Face."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np

from ..errors import HiSTalkError
from ..files import atomic_write
from ..head.arkit import ARKIT_BLENDSHAPES

LAYOUTS = ("histalk", "livelink")
# In the order of the app's own recordings: Apple's, but right before left for jaw and mouth.
LIVE_LINK_UNITS = (
    "eyeBlinkLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "eyeLookUpLeft",
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight",
    "eyeLookDownRight",
    "eyeLookInRight",
    "eyeLookOutRight",
    "eyeLookUpRight",
    "eyeSquintRight",
    "eyeWideRight",
    "jawForward",
    "jawRight",
    "jawLeft",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthRight",
    "mouthLeft",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
)
# Rotations of head and eyes, which speech does not change: zero.
ANGLES = tuple(f"{what}{axis}" for what in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll"))


def write_arkit_weights(path: Path, weights: np.ndarray, fps: float, layout: str = "histalk") -> None:
    """Write weights [T, 52] under a temporary name until the file is whole.

    Args:
        path: .csv, or .json in the layout "histalk".
        weights: in ARKIT_BLENDSHAPES' order; the first frame is where the sound begins.
        fps: frames a second.
        layout: "histalk": frame, seconds and weights in ARKIT_BLENDSHAPES' order; "livelink": as Epic's Live
            Link Face records, for Unreal, MotionBuilder, Maya and Faceit.

    Raises:
        HiSTalkError: the file cannot be written, or the layout has no such file.
    """
    path = Path(path)
    is_csv = path.suffix.lower() == ".csv"
    if layout not in LAYOUTS:
        raise HiSTalkError(f"'{layout}' is not a layout of ARKit weights: choose {' or '.join(LAYOUTS)}.")
    if layout == "livelink" and not is_csv:
        raise HiSTalkError(f"'{path}' must end in .csv, as Live Link Face's files do.")
    file = io.StringIO(newline="")
    if layout == "livelink":
        _write_live_link(file, weights, fps)
    else:
        rows = np.round(weights.astype(float), 5).tolist()
        if is_csv:
            writer = csv.writer(file)
            writer.writerow(["frame", "seconds", *ARKIT_BLENDSHAPES])
            writer.writerows([i, round(i / fps, 5), *row] for i, row in enumerate(rows))
        else:
            json.dump({"fps": fps, "names": list(ARKIT_BLENDSHAPES), "weights": rows}, file)
    try:
        atomic_write(path, file.getvalue().encode())
    except OSError as error:
        raise HiSTalkError(f"'{path}' cannot be written ({error.strerror}): choose another place.") from error


def _write_live_link(file: io.StringIO, weights: np.ndarray, fps: float) -> None:
    names = [unit[0].upper() + unit[1:] for unit in LIVE_LINK_UNITS] + list(ANGLES)
    file.write(",".join(["Timecode", "BlendshapeCount", *names]) + "\n")
    angles = ["0.0"] * len(ANGLES)
    for i, row in enumerate(weights[:, [ARKIT_BLENDSHAPES.index(unit) for unit in LIVE_LINK_UNITS]].tolist()):
        file.write(",".join([timecode(i, fps), str(len(names)), *(f"{value:.6f}" for value in row), *angles]) + "\n")


def timecode(frame: int, fps: float) -> str:
    """`HH:MM:SS:FF.mmm` of a frame: hours to seconds of true time, then frames and thousandths of one."""
    whole = round(fps)
    if abs(fps - whole) < 1e-6:
        seconds, thousandths = frame // whole, frame % whole * 1000
    else:
        seconds = int(frame / fps + 1e-9)
        thousandths = max(0, round((frame - seconds * fps) * 1000))
    hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
    return f"{hours:02}:{minutes:02}:{seconds % 60:02}:{thousandths // 1000:02}.{thousandths % 1000:03}"
