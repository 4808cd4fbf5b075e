"""espeak-ng through its C library, the only interface that reports when each phone begins."""

from __future__ import annotations

import ctypes as C
from collections.abc import Iterator

import numpy as np

from .shards import Utterance, at_16k
from .symbols import ESPEAK_US, to_arpabet

VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 Adam Alex Alicia Andrea Annie anika Antonio belinda benjamin "
    "boris david edward iven Lee linda max Mario michael Michel steph victor zac"
).split()
STOPS = {"p", "t", "k", "b", "d", "g", "tS", "dZ", "t#", "t2"}
PHONEME, RATE_PARAMETER, PITCH_PARAMETER = 7, 1, 3


class _Id(C.Union):
    _fields_ = [("number", C.c_int), ("name", C.c_char_p), ("string", C.c_char * 8)]


class _Event(C.Structure):
    _fields_ = [
        ("type", C.c_int),
        ("uid", C.c_uint),
        ("text_position", C.c_int),
        ("length", C.c_int),
        ("audio_position", C.c_int),
        ("sample", C.c_int),
        ("user_data", C.c_void_p),
        ("id", _Id),
    ]


class Engine:
    """One espeak-ng; the library holds global state, so one a process."""

    def __init__(self):
        self.library = C.CDLL("libespeak-ng.so.1")
        callback = C.CFUNCTYPE(C.c_int, C.POINTER(C.c_short), C.c_int, C.POINTER(_Event))
        self._callback = callback(self._collect)
        synchronous, phoneme_events = 2, 1
        self.rate = self.library.espeak_Initialize(synchronous, 500, None, phoneme_events)
        self.library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave, count, events) -> int:
        if count > 0 and wave:
            self.pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == PHONEME:
                self.events.append((events[i].sample, events[i].id.string.decode("utf8", "replace")))
            i += 1
        return 0

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int):
        """Text -> int16 samples, [(mnemonic, start s, end s)]."""
        self.pieces, self.events = [], []
        if self.library.espeak_SetVoiceByName(voice.encode()):
            return np.zeros(0, np.int16), []
        for parameter, value in ((RATE_PARAMETER, words_per_minute), (PITCH_PARAMETER, pitch)):
            self.library.espeak_SetParameter(parameter, value, 0)
        data = text.encode() + b"\0"
        self.library.espeak_Synth(data, C.c_size_t(len(data)), 0, 1, 0, 1, None, None)
        samples = np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.int16)
        return samples, self._segments(samples, words_per_minute)

    def _segments(self, samples: np.ndarray, words_per_minute: int) -> list[tuple[str, float, float]]:
        events = [[at, name] for at, name in self.events if name and name[0] not in "(;^"]
        loud = np.abs(samples.astype(int))
        threshold = 0.03 * loud.max(initial=1)
        longest = int((0.055 * 175 / words_per_minute + 0.005) * self.rate)
        for i, event in enumerate(events):
            # A stop's event stands at its burst; its closure is the silence before.
            if event[1].rstrip(";'^") in STOPS:
                first = max(0, event[0] - longest, events[i - 1][0] if i else 0)
                sounding = np.flatnonzero(loud[first : event[0]] > threshold)
                begin = first + (sounding[-1] + 1 if len(sounding) else 0)
                if event[0] - begin > 0.004 * self.rate:
                    event[0] = begin
        if events and events[0][0] > 0.005 * self.rate:
            events.insert(0, [0, "_"])
        ends = [at for at, _ in events[1:]] + [len(samples)]
        return [
            (name.rstrip(";'^"), at / self.rate, end / self.rate) for (at, name), end in zip(events, ends) if end > at
        ]


def speak(texts: list[str], seed: int) -> Iterator[Utterance]:
    """Each text by one of the variants of en-us, at a rate and pitch drawn at random."""
    random, engine = np.random.default_rng(seed), Engine()
    for i, text in enumerate(texts):
        variant = VARIANTS[i % len(VARIANTS)]
        samples, segments = engine.say(
            text + ".", f"en-us+{variant}", int(random.uniform(130, 210)), int(random.uniform(20, 80))
        )
        phones = to_arpabet(segments, ESPEAK_US)
        if phones:
            yield Utterance(f"espeak-{variant}-{i}", "espeak", variant, "train", at_16k(samples, engine.rate), phones)
