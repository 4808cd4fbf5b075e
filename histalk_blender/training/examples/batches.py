"""Batches of augmented speech with the teacher's motion, cut from the corpus' shards."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import soxr
import torch
from torch.utils.data import IterableDataset

from ...errors import HiSTalkError, shown
from ...files import open_regular
from ...head.arkit import ARKIT_UNITS
from ..teacher import coarticulation, prosody
from ..teacher import phones as rules
from ..teacher.coarticulation import unit_track
from ..teacher.phones import ARPABET
from .arrays import read_npy
from .augment import augment

RATE = 16_000
# Of what a batch holds: people count more than the hours that they spoke, machines fill in what people did not say.
SHARES = {
    "readers": 0.3,
    "commands": 0.14,
    "kathleen": 0.13,
    "prompts": 0.12,
    "wakewords": 0.07,
    "digits": 0.03,
    "lang-de": 0.04,
    "lang-es": 0.03,
    "lang-fr": 0.03,
    "lang-it": 0.03,
}
SYNTHETIC_SHARE = 0.04  # of any other source
BABBLE = 0.12  # of the pieces have somebody else talk in the background
PAUSED, PAUSES = 0.15, (0.3, 1.5)  # so many of the gaps between pieces are so many seconds long
ROOM = 0.5  # of the rows are heard in a room that is not silent
DOUBTED = -100  # the phone class of what the labels do not know; cross entropy ignores it


@dataclass(frozen=True)
class Clip:
    """One recording: where its sound lies, its phones and the teacher's unit weights."""

    id: str
    source: str
    speaker: str
    split: str
    samples: np.ndarray  # [N] int16, a view of the shard
    phone_ends: np.ndarray  # [P] seconds
    phone_ids: np.ndarray  # [P] indices into ARPABET
    units: np.ndarray  # [T, 52] float16 at the teacher's fps
    phones: list
    unsure: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))  # [U, 2] seconds of doubted labels

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / RATE


def load_clips(corpus: Path, splits: set[str], fps: float = 30.0) -> list[Clip]:
    """Every clip of the wanted splits that has phones; the teacher's tracks are kept beside each shard.

    Raises:
        HiSTalkError: the folder holds no shards, or one that is damaged.
    """
    corpus = Path(corpus)
    tables = sorted(corpus.glob("*.jsonl"))
    if not tables:
        raise HiSTalkError(
            f"'{corpus}' holds no corpus: make one with python -P -m histalk_blender.training.corpus.build."
        )
    index = {phone: i for i, phone in enumerate(ARPABET)}
    clips = []
    for table in tables:
        sound = read_npy(table.with_suffix(".i16.npy"))
        if sound.dtype != np.int16 or sound.ndim != 1:
            raise HiSTalkError(f"'{table.with_suffix('.i16.npy')}' is no sound of a shard: build the corpus again.")
        rows = read_table(table, len(sound))
        tracks = _tracks(table, rows, sound, fps)
        start = 0
        for row in rows:
            frames = max(1, round(row["samples"] / RATE * fps))
            units, start = tracks[start : start + frames], start + frames
            phones = [phone for phone in row["phones"] if phone[0] in index]
            if row["split"] in splits and phones:
                clips.append(
                    Clip(
                        row["id"],
                        row["source"],
                        row["speaker"],
                        row["split"],
                        sound[row["offset"] : row["offset"] + row["samples"]],
                        np.array([end for _, _, end in phones], np.float32),
                        np.array([index[name] for name, _, _ in phones]),
                        units,
                        phones,
                        np.array(row.get("unsure", []), np.float32).reshape(-1, 2),
                    )
                )
    return clips


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
        raise HiSTalkError(f"'{table}' cannot be read ({shown(error)}): build the corpus again.") from error
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
    path = table.with_suffix(f".units-{_teacher():08x}.npy")
    if path.exists() and path.stat().st_mtime > table.stat().st_mtime:
        kept, frames = read_npy(path), sum(max(1, round(row["samples"] / RATE * fps)) for row in rows)
        if kept.dtype == np.float16 and kept.shape == (frames, len(ARKIT_UNITS)):
            return kept
    for stale in table.parent.glob(f"{table.stem}.units*.npy"):
        stale.unlink()
    tracks = [
        unit_track(
            row["phones"],
            row["samples"] / RATE,
            sound[row["offset"] : row["offset"] + row["samples"]].astype(np.float32) / 32768,
            fps,
        )
        for row in rows
    ]
    np.save(path, np.concatenate(tracks).astype(np.float16))
    return read_npy(path)


@cache
def _teacher() -> int:
    """A checksum of the rules: tracks made by other rules are not those that a run asks for."""
    return zlib.crc32(b"".join(Path(part.__file__).read_bytes() for part in (coarticulation, prosody, rules)))


def chances(clips: list[Clip], by_source: bool = True) -> np.ndarray:
    """[clips] how often each is drawn: by the root of its length, so that a speaker of few words is still heard, and
    by its source's share."""
    weight = np.sqrt([clip.seconds for clip in clips])
    if by_source:
        sources = np.array([clip.source for clip in clips])
        for source in set(sources):
            weight[sources == source] *= SHARES.get(source, SYNTHETIC_SHARE) / weight[sources == source].sum()
    return weight / weight.sum()


class SpeechBatches(IterableDataset):
    """Endless batches: each row is filled with pieces of clips, so that no second is padding."""

    def __init__(self, clips: list[Clip], lengths: tuple[float, ...], seconds: float, fps: float, seed: int):
        """`lengths`: seconds of a row, one drawn for each batch; `seconds`: of all rows of a batch together."""
        self.clips, self.lengths, self.seconds, self.fps, self.seed = clips, lengths, seconds, fps, seed
        self.chances = np.cumsum(chances(clips))

    def __iter__(self):
        """Yields wave [B, N], units [B, T, 52], phone ids [B, M] (one a 40 ms token) and how sure each frame is [B, T].

        Doubted frames are 0, others 1; the phones of doubted tokens are `DOUBTED`.
        """
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            length = float(random.choice(self.lengths))
            rows = [self._row(random, length) for _ in range(max(1, round(self.seconds / length)))]
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*rows))

    def _row(self, random: np.random.Generator, seconds: float):
        N = round(seconds * RATE)
        frame_times = np.arange(round(seconds * self.fps)) / self.fps
        token_times = pair_times(N // 320 + 1)
        wave = np.zeros(N, np.float32)
        units = np.zeros((len(frame_times), self.clips[0].units.shape[1]), np.float32)
        phones = np.full(len(token_times), ARPABET.index("SIL"))
        sure = np.ones(len(frame_times), np.float32)
        place = 0.0
        while place < seconds - 0.3:
            clip = self._any(random)
            speed = float(np.exp(random.normal(0, 0.1)))
            room = seconds - place
            start = random.uniform(0, max(0.0, clip.seconds - room * speed)) if place == 0 else 0.0
            if place == 0 and clip.seconds < room * speed:
                start = random.uniform(0, clip.seconds / 3) if random.random() < 0.3 else 0.0
            piece = np.asarray(clip.samples[round(start * RATE) : round((start + room * speed) * RATE)])
            piece = piece.astype(np.float32) / 32768
            if abs(speed - 1) > 0.005 and len(piece) > 64:
                piece = soxr.resample(piece, RATE * speed, RATE, quality="LQ")
            piece = piece + self._babble(random, piece)
            piece = augment(piece, RATE, random)[: N - round(place * RATE)]
            at = round(place * RATE)
            wave[at : at + len(piece)] += piece
            inside = (frame_times >= place) & (frame_times < place + len(piece) / RATE)
            source = (frame_times[inside] - place) * speed + start
            units[inside], sure[inside] = motion_at(clip, source, self.fps)
            inside = (token_times >= place) & (token_times < place + len(piece) / RATE)
            phones[inside] = phones_at(clip, (token_times[inside] - place) * speed + start)
            place += len(piece) / RATE + random.uniform(*(PAUSES if random.random() < PAUSED else (0.0, 0.3)))
        return self._with_room(random, wave), units, phones, sure

    def _with_room(self, random: np.random.Generator, wave: np.ndarray) -> np.ndarray:
        """The row with a room's even hiss or hum, pauses included: a face must rest in them all the same."""
        if random.random() >= ROOM:
            return wave
        noise = np.fft.rfft(random.normal(0, 1, len(wave)))
        noise *= (np.arange(len(noise)) + 10.0) ** -random.uniform(0, 1)
        noise = np.fft.irfft(noise, len(wave))
        level = np.sqrt(np.mean(wave**2)) * 10 ** (-random.uniform(15, 45) / 20)
        return wave + (noise * level / (np.sqrt(np.mean(noise**2)) + 1e-9)).astype(np.float32)

    def _any(self, random: np.random.Generator) -> Clip:
        return self.clips[min(np.searchsorted(self.chances, random.random()), len(self.clips) - 1)]

    def _babble(self, random: np.random.Generator, piece: np.ndarray) -> np.ndarray | float:
        """Another clip, 8 to 25 dB below, as long as `piece`; mostly nothing."""
        if random.random() >= BABBLE:
            return 0.0
        other = np.resize(np.asarray(self._any(random).samples), len(piece)).astype(np.float32)
        level = np.sqrt(np.mean(piece**2) / (np.mean(other**2) + 1.0))
        return other * level * np.float32(10 ** (-random.uniform(8, 25) / 20))


def pair_times(tokens: int) -> np.ndarray:
    """Seconds at which the phones of so many acoustic tokens stand, one a pair of them."""
    return (np.arange(-(-tokens // 2)) * 2 + 0.5) * 0.02


def motion_at(clip: Clip, times: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """[S] seconds of a clip -> units [S, 52], and how sure they are [S]: 0 where labels are doubted, else 1."""
    return _interpolate(clip.units, times * fps), 1.0 - _within(times, clip.unsure)


def phones_at(clip: Clip, times: np.ndarray) -> np.ndarray:
    """[S] seconds of a clip -> [S] phone classes; `DOUBTED` where labels are."""
    which = np.searchsorted(clip.phone_ends, times, side="right")
    classes = clip.phone_ids[np.minimum(which, len(clip.phone_ids) - 1)]
    return np.where(_within(times, clip.unsure), DOUBTED, classes)


def _within(times: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """[S] seconds, [U, 2] spans -> [S] booleans: inside any."""
    return ((times[:, None] >= spans[:, 0]) & (times[:, None] <= spans[:, 1])).any(1)


def _interpolate(track: np.ndarray, index: np.ndarray) -> np.ndarray:
    low = np.clip(np.floor(index).astype(int), 0, len(track) - 1)
    high = np.minimum(low + 1, len(track) - 1)
    weight = np.clip(index - low, 0, 1)[:, None].astype(np.float32)
    return track[low].astype(np.float32) * (1 - weight) + track[high].astype(np.float32) * weight
