"""The corpus' shards as clips: sound, phones, and the teacher's motion, which is kept beside each shard."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from ...audio import SAMPLE_RATE
from ...errors import HiSTalkError
from ...files import atomic_open, open_regular
from ...head.arkit import ARKIT_BLENDSHAPES
from ...runtime.output import printable
from .. import teacher
from ..arrays import read_npy
from ..teacher.coarticulation import arkit_track
from ..teacher.phones import ARPABET


@dataclass(frozen=True)
class Clip:
    """One recording: its sound, its phones and what drives the face."""

    id: str
    source: str
    speaker: str
    split: str
    samples: np.ndarray  # [N] int16, a view of the shard
    phone_ends: np.ndarray  # [P] seconds
    phone_ids: np.ndarray  # [P] indices into ARPABET
    controls: np.ndarray  # [T, C] a frame: the teacher's ARKit weights, or coefficients of captured motion's shapes
    phones: list  # (ARPAbet, start s, end s)
    unsure: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))  # [U, 2] seconds of doubted labels

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def load_clips(corpus: Path, splits: set[str], fps: float = 30.0) -> list[Clip]:
    """Every clip of the wanted splits that has phones.

    Raises:
        HiSTalkError: the folder holds no shards, or one that is damaged.
    """
    corpus = Path(corpus)
    tables = sorted(corpus.glob("*.jsonl"))
    if not tables:
        raise HiSTalkError(
            f"'{corpus}' holds no corpus: make one with python -P -m histalk_blender.training.corpus.build."
        )
    return [clip for table in tables for clip in _clips_of(table, splits, fps)]


def _clips_of(table: Path, splits: set[str], fps: float) -> list[Clip]:
    """One shard's clips."""
    sound = read_npy(table.with_suffix(".i16.npy"))
    if sound.dtype != np.int16 or sound.ndim != 1:
        raise HiSTalkError(f"'{table.with_suffix('.i16.npy')}' is no sound of a shard: build the corpus again.")
    rows = read_table(table, len(sound))
    tracks = _tracks(table, rows, sound, fps)
    clips, start = [], 0
    for row in rows:
        frames = _frames(row, fps)
        controls, start = tracks[start : start + frames], start + frames
        phones = [phone for phone in row["phones"] if phone[0] in ARPABET]
        if row["split"] in splits and phones:
            clips.append(
                Clip(
                    **{name: row[name] for name in ("id", "source", "speaker", "split")},
                    samples=_samples(row, sound),
                    phone_ends=np.array([end for _, _, end in phones], np.float32),
                    phone_ids=np.array([ARPABET.index(name) for name, _, _ in phones]),
                    controls=controls,
                    phones=phones,
                    unsure=np.array(row.get("unsure", []), np.float32).reshape(-1, 2),
                )
            )
    return clips


def _samples(row: dict, sound: np.ndarray) -> np.ndarray:
    return sound[row["offset"] : row["offset"] + row["samples"]]


def _frames(row: dict, fps: float) -> int:
    return max(1, round(row["samples"] / SAMPLE_RATE * fps))


def read_table(table: Path, samples: int) -> list[dict]:
    """A shard's rows, one a clip.

    Args:
        samples: of the shard's sound.

    Raises:
        HiSTalkError: the file cannot be read, or a line is no row of this shard.
    """
    try:
        with open_regular(table) as file:
            lines = file.read().decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise HiSTalkError(f"'{table}' cannot be read ({printable(error, 120)}): build the corpus again.") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
            fits = _is_row(rows[-1], samples)
        except (ValueError, KeyError, TypeError, RecursionError):
            fits = False
        if not fits:
            raise HiSTalkError(f"Line {number} of '{table}' is no clip of this shard: build the corpus again.")
    if not rows:
        raise HiSTalkError(f"'{table}' holds no clips: build the corpus again.")
    return rows


def _is_row(row: dict, samples: int) -> bool:
    first, count = row["offset"], row["samples"]
    spans = [span[-2:] for span in row["phones"]] + row.get("unsure", [])
    return (
        all(isinstance(row[name], str) for name in ("id", "source", "speaker", "split"))
        and type(first) is type(count) is int
        and 0 <= first < first + count <= samples
        and all(isinstance(phone, str) for phone, _, _ in row["phones"])
        and all(-1e6 < start <= end < 1e6 for start, end in spans)
    )


def _tracks(table: Path, rows: list[dict], sound: np.ndarray, fps: float) -> np.ndarray:
    """The teacher's ARKit weights for all rows [frames, 52] float16, made once for its present rules."""
    path = table.with_suffix(f".units-{_teacher_checksum():08x}.npy")
    if path.exists() and path.stat().st_mtime > table.stat().st_mtime:
        kept, frames = read_npy(path), sum(_frames(row, fps) for row in rows)
        if kept.dtype == np.float16 and kept.shape == (frames, len(ARKIT_BLENDSHAPES)):
            return kept
    for stale in table.parent.glob(f"{table.stem}.units*.npy"):
        stale.unlink()
    tracks = [
        arkit_track(row["phones"], row["samples"] / SAMPLE_RATE, _samples(row, sound).astype(np.float32) / 32768, fps)
        for row in rows
    ]
    with atomic_open(path) as file:
        np.save(file, np.concatenate(tracks).astype(np.float16))
    return read_npy(path)


@cache
def _teacher_checksum() -> int:
    """Of the rules: tracks made by other rules are not those that a run asks for."""
    return zlib.crc32(b"".join(path.read_bytes() for path in sorted(Path(teacher.__file__).parent.glob("*.py"))))
