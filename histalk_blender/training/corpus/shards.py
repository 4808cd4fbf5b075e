"""One shard a source: NAME.i16.npy holds all sound, NAME.jsonl one line a clip."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...audio import SAMPLE_RATE
from ...files import atomic_open, atomic_write

TEST_PERCENT = 20


@dataclass(frozen=True)
class Utterance:
    """A clip on its way into a shard."""

    id: str
    source: str
    speaker: str
    split: str  # "train", "test_known" (a new sentence of a known voice) or "test_stranger"
    samples: np.ndarray  # [N] int16 at 16 kHz
    phones: list[tuple[str, float, float]]  # ARPAbet, start s, end s
    unsure: Sequence[tuple[float, float]] = ()  # start s, end s of what training should not believe


def sentence_split(sentence: str) -> str:
    """A fifth of all sentences is for testing, the same fifth wherever and by whomever they are spoken."""
    kept = " ".join("".join(c for c in sentence.lower() if c.isalnum() or c == " ").split())
    return "test_known" if zlib.crc32(kept.encode()) % 100 < TEST_PERCENT else "train"


def held_out_speakers(speakers: Iterable, percent: int = TEST_PERCENT) -> set:
    """A fifth (or `percent`) of the speakers, at least one, chosen by a checksum of their names."""
    ordered = sorted(set(speakers), key=lambda speaker: zlib.crc32(str(speaker).encode()))
    return set(ordered[: max(1, round(len(ordered) * percent / 100))])


def write_splits(folder: Path) -> dict[str, int]:
    """Write splits.tsv (clip, source, speaker, split) of all shards and see that no voice is on both sides.

    Returns:
        Split -> clips.

    Raises:
        ValueError: a stranger is trained on.
    """
    rows = []
    for table in sorted(folder.glob("*.jsonl")):
        for line in table.open():
            row = json.loads(line)
            rows.append([row[key] for key in ("id", "source", "speaker", "split")])
    sides = {side: {(row[1], row[2]) for row in rows if row[3] == side} for side in {row[3] for row in rows}}
    crossed = sides.get("test_stranger", set()) & (sides.get("train", set()) | sides.get("test_known", set()))
    if crossed:
        raise ValueError(f"strangers who are trained on: {sorted(crossed)}")
    lines = ["clip\tsource\tspeaker\tsplit", *("\t".join(row) for row in rows)]
    atomic_write(folder / "splits.tsv", "".join(f"{line}\n" for line in lines).encode())
    return {side: sum(row[3] == side for row in rows) for side in sorted(sides)}


def write_shard(folder: Path, name: str, utterances: Iterable[Utterance]) -> float:
    """Write a shard; the table comes last, so that a shard with a table is whole.

    Returns:
        Its hours.
    """
    sounds, lines, offset = [], [], 0
    for u in utterances:
        row: dict = {"id": u.id, "source": u.source, "speaker": u.speaker, "split": u.split}
        row |= {"offset": offset, "samples": len(u.samples)}
        row["phones"] = [(phone, round(start, 4), round(end, 4)) for phone, start, end in u.phones]
        if u.unsure:
            row["unsure"] = [(round(start, 3), round(end, 3)) for start, end in u.unsure]
        lines.append(json.dumps(row))
        sounds.append(u.samples.astype(np.int16))
        offset += len(u.samples)
    if not lines:
        return 0.0
    with atomic_open(folder / f"{name}.i16.npy") as file:
        np.save(file, np.concatenate(sounds))
    atomic_write(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines).encode())
    return offset / SAMPLE_RATE / 3600


def at_16k(samples: np.ndarray, rate: int) -> np.ndarray:
    """int16 or float samples at any rate -> int16 at 16 kHz with a peak of 0.7."""
    import soxr

    wave = samples.astype(np.float32) / (32768 if samples.dtype == np.int16 else 1)
    if rate != SAMPLE_RATE:
        wave = soxr.resample(wave, rate, SAMPLE_RATE)
    return np.round(wave * (0.7 * 32767 / max(np.abs(wave).max(initial=0), 1e-4))).astype(np.int16)


def shifted(phones: list, seconds: float) -> list[tuple[str, float, float]]:
    """All boundaries but the outer ones moved by `seconds`; phones that vanish are dropped."""
    if not phones:
        return []
    last = phones[-1][2]
    starts = [phones[0][1]] + [min(max(start + seconds, 0.0), last) for _, start, _ in phones[1:]]
    ends = [*starts[1:], last]
    return [(phone, start, end) for (phone, _, _), start, end in zip(phones, starts, ends) if end > start]
