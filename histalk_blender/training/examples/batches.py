"""Batches of augmented speech with the motion to learn, cut from clips."""

from __future__ import annotations

import numpy as np
import soxr
import torch
from torch.utils.data import IterableDataset

from ...audio import SAMPLE_RATE
from ..corpus.clips import Clip
from ..corpus.languages import LANGUAGES
from ..teacher.phones import ARPABET
from .augment import augment, coloured_noise

# What each real source is of a batch: people get more than their share of the hours, synthetic voices fill in the rest.
SHARES = {
    "readers": 0.3,
    "commands": 0.14,
    "kathleen": 0.13,
    "prompts": 0.12,
    "wakewords": 0.07,
    "digits": 0.03,
    **{f"lang-{code}": language.share for code, language in LANGUAGES.items() if not language.test_only},
}
SYNTHETIC_SHARE = 0.04  # of any other source
BABBLE = 0.12  # of the pieces have another voice in the background
PAUSED, PAUSES = 0.15, (0.3, 1.5)  # so many of the gaps between pieces are so many seconds long
ROOM = 0.5  # of the rows get a room's noise
DOUBTED = -100  # the phone class of doubted labels, which cross entropy ignores


def chances(clips: list[Clip], by_source: bool = True) -> np.ndarray:
    """[clips] how often each is drawn: by the root of its length, so that speakers of few words are drawn too, and
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
        """Yields wave [B, N], controls [B, T, C], phone classes [B, M] (one a 40 ms token), sureness of frames [B, T].

        Doubted frames are 0, others 1; the phones of doubted tokens are `DOUBTED`.
        """
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            length = float(random.choice(self.lengths))
            rows = [self._row(random, length) for _ in range(max(1, round(self.seconds / length)))]
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*rows))

    def _row(self, random: np.random.Generator, seconds: float):
        """One row of a batch: pieces of clips one after another, with pauses between."""
        N = round(seconds * SAMPLE_RATE)
        frame_times = np.arange(round(seconds * self.fps)) / self.fps
        token_times = pair_times(N // 320 + 1)
        wave = np.zeros(N, np.float32)
        controls = np.zeros((len(frame_times), self.clips[0].controls.shape[1]), np.float32)
        phones = np.full(len(token_times), ARPABET.index("SIL"))
        sure = np.ones(len(frame_times), np.float32)
        place = 0.0
        while place < seconds - 0.3:
            clip, at = self._any(random), round(place * SAMPLE_RATE)
            piece, start, speed = self._piece(random, clip, seconds - place, place == 0)
            piece = piece[: N - at]
            wave[at : at + len(piece)] += piece
            end = place + len(piece) / SAMPLE_RATE
            inside = (frame_times >= place) & (frame_times < end)
            controls[inside], sure[inside] = motion_at(clip, (frame_times[inside] - place) * speed + start, self.fps)
            inside = (token_times >= place) & (token_times < end)
            phones[inside] = phones_at(clip, (token_times[inside] - place) * speed + start)
            place = end + random.uniform(*(PAUSES if random.random() < PAUSED else (0.0, 0.3)))
        return self._with_room(random, wave), controls, phones, sure

    def _piece(self, random: np.random.Generator, clip: Clip, room: float, first: bool):
        """An augmented piece of a clip, at most `room` seconds long.

        Returns:
            [N] float32 sound, the second of the clip that it starts at, and its speed.
        """
        speed = float(np.exp(random.normal(0, 0.1)))
        start = random.uniform(0, max(0.0, clip.seconds - room * speed)) if first else 0.0
        if first and clip.seconds < room * speed:
            start = random.uniform(0, clip.seconds / 3) if random.random() < 0.3 else 0.0
        piece = np.asarray(clip.samples[round(start * SAMPLE_RATE) : round((start + room * speed) * SAMPLE_RATE)])
        piece = piece.astype(np.float32) / 32768
        if abs(speed - 1) > 0.005 and len(piece) > 64:
            piece = soxr.resample(piece, SAMPLE_RATE * speed, SAMPLE_RATE, quality="LQ")
        return augment(piece + self._babble(random, piece), SAMPLE_RATE, random), start, speed

    def _with_room(self, random: np.random.Generator, wave: np.ndarray) -> np.ndarray:
        """The row with a room's even hiss or hum, pauses included: a face must rest in them all the same."""
        if random.random() >= ROOM:
            return wave
        noise = coloured_noise(len(wave), random)
        level = np.sqrt(np.mean(wave**2)) * 10 ** (-random.uniform(15, 45) / 20)
        return wave + (noise * level).astype(np.float32)

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
    """[S] seconds of a clip -> controls [S, C], and how sure they are [S]: 0 where labels are doubted, else 1."""
    return _interpolate(clip.controls, times * fps), 1.0 - _within(times, clip.unsure)


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
