"""Speech as it arrives, motion soon after: for a live preview."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..audio.loudness import BLOCK, MAX_GAIN_DB, SPEECH_DBFS
from ..head.head import Head
from ..motion.motion import Motion
from .checks import check_outputs, check_sound
from .clips import bases, predict_batch

PRIOR = 20  # blocks of 25 ms at gain one that count beside those received, so that the gain starts gently


class Stream:
    """Chunks of sound in, frames of motion out: each comes `lookahead_s` after its sound, and `hop_s` more at most.

    At each hop the network runs on the last seconds received, and the frames that are due are returned and not changed
    later: memory and time of a hop stay the same however long the stream is. A frame differs from that of the whole
    clip, as later sound is unknown and the gain is that of the sound so far (`benchmarks/streaming.py` measures both).
    """

    def __init__(
        self,
        model,
        head: Head,
        *,
        lookahead_s: float = 0.3,
        hop_s: float = 0.2,
        past_s: float = 1.8,
        device: str = "cpu",
    ):
        """Start a stream.

        Args:
            model: a loaded `network.HiSTalk` whose topologies include the head's.
            head: whose vertices move.
            lookahead_s: seconds of sound after a frame that the network must have; lips close before the sound of it.
            hop_s: seconds of sound between two runs of the network.
            past_s: seconds before the first frame that is due, for context.
            device: torch device name.

        Raises:
            HiSTalkError: the model has no output for the head's topology.
            ValueError: a time is negative, or there is no hop.
        """
        check_outputs(model, head.topology, len(head.vertices))
        if min(lookahead_s, past_s) < 0 or hop_s <= 0:
            raise ValueError("lookahead_s and past_s must be 0 or more seconds, hop_s more than 0.")
        config = model.config
        self.model, self.device, self.fps = model, device, config.fps
        self.shapes = bases(model)[head.topology]
        self.frames = 0  # returned so far
        self._rate = config.sample_rate
        self._lookahead, self._hop, self._past = (round(s * self._rate) for s in (lookahead_s, hop_s, past_s))
        # Windows start where a frame and a token fall on the same sample.
        self._grid = (Fraction(config.hop, self._rate) * Fraction(self.fps).limit_denominator(1001)).numerator
        self._sound, self._first = np.zeros(0, np.float32), 0  # what is kept, and the sample of the stream it starts at
        self._used = 0  # samples that the network has been given
        self._loudness = _RunningLoudness()
        self._finished = False

    def feed(self, samples: np.ndarray) -> Motion:
        """Add sound.

        Args:
            samples: [n] float32 at 16 kHz, n of any size.

        Returns:
            The frames that are due now, maybe none; they follow those returned before.

        Raises:
            HiSTalkError: samples or a prediction are not finite, or the face moves by metres.
            ValueError: the stream was finished, or the samples are not of one channel.
        """
        samples = np.asarray(samples, np.float32)
        if self._finished or samples.ndim != 1:
            raise ValueError(
                "The stream is finished: start another." if self._finished else "Samples must be [n], of one channel."
            )
        check_sound(samples, "The stream")
        self._sound = np.concatenate([self._sound, samples])
        found = []
        while self._end - self._used >= self._hop:
            self._used += self._hop
            found.append(self._due(int((self._used - self._lookahead) * self.fps / self._rate) + 1))
        return self._motion(found)

    def finish(self) -> Motion:
        """The last frames; no sound can be added afterwards."""
        self._finished, self._used = True, self._end
        return self._motion([self._due(self.model.config.frames(self._end) if self._end else 0)])

    @property
    def _end(self) -> int:
        return self._first + len(self._sound)

    def _motion(self, found: list[np.ndarray]) -> Motion:
        return Motion(np.concatenate([np.zeros((0, len(self.shapes)), np.float32), *found]), self.shapes, self.fps)

    def _due(self, until: int) -> np.ndarray:
        """[n, K] weights from the first frame that was not returned yet to `until`, exclusive."""
        count = max(0, until - self.frames)
        self._loudness.add(self._sound[: self._used - self._first], self._first)
        context = int(self.frames - self._past * self.fps / self._rate)
        start = max(0, context // self._grid * self._grid)  # in frames
        first = round(start / self.fps * self._rate)
        self._sound, self._first = self._sound[first - self._first :], first
        found = np.zeros((count, len(self.shapes)), np.float32)
        if count and not self._loudness.silent:
            (parts,) = predict_batch(self.model, [self._sound[: self._used - first] * self._loudness.gain], self.device)
            found = parts["weights"][self.frames - start : until - start]
        self.frames += count
        return found


class _RunningLoudness:
    """The gain of `normalise_loudness` for all samples so far, nearer to one while they are few."""

    def __init__(self):
        self._next = 0  # sample of the stream
        self._counts, self._energies = np.zeros(61, int), np.zeros(61)  # of 25 ms at 0, -1 ... -60 dBFS and below

    def add(self, sound: np.ndarray, first: int) -> None:
        """Add samples [n] that start at sample `first` of the stream; some may have been added before."""
        self._next = max(self._next, first)
        sound = sound[self._next - first :]
        energies = np.square(sound[: len(sound) // BLOCK * BLOCK].reshape(-1, BLOCK)).mean(1)
        self._next += len(energies) * BLOCK
        levels = -10 * np.log10(np.maximum(energies, 1e-12))
        places = np.clip(levels.astype(int), 0, 60)
        np.add.at(self._counts, places, 1)
        np.add.at(self._energies, places, energies)

    @property
    def silent(self) -> bool:
        """Whether nothing rose above -60 dBFS."""
        return not self._counts[:60].any()

    @property
    def gain(self) -> np.float32:
        """The factor that brings speech to the network's loudness."""
        loudest = int(np.flatnonzero(self._counts)[0])
        loud = slice(loudest, min(60, loudest + 30))
        count = self._counts[loud].sum()
        level = 10 * np.log10(self._energies[loud].sum() / count)
        decibels = np.clip(SPEECH_DBFS - level, -MAX_GAIN_DB, MAX_GAIN_DB) * count / (count + PRIOR)
        return np.float32(10 ** (decibels / 20))
