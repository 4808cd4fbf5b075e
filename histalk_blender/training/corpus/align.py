"""Forced alignment of transcribed speech by pocketsphinx."""

from __future__ import annotations

import re

import numpy as np

from ...audio import SAMPLE_RATE
from .flite import phones_of

EARLY = 0.006  # seconds by which the aligner's starts precede the engines' own times
PAD = 0.3  # seconds of faint noise on each side, so that edge phones do not swallow the silence
SPELT = {
    "iax": "IY K S",
    "ivr": "AY V IY AA R",
    "xray": "EH K S R EY",
    "forevermore": "F ER EH V ER M AO R",
    "lowercase": "L OW ER K EY S",
    "uppercase": "AH P ER K EY S",
    "rerecord": "R IY R IH K AO R D",
    "mr": "M IH S T ER",
    "mrs": "M IH S IH Z",
    "dr": "D AA K T ER",
    "st": "S EY N T",
}


def words_of(text: str) -> list[str]:
    """A transcript as lower-case words: brackets go, numbers are spelt."""
    from num2words import num2words

    text = re.sub(r"\[.*?\]|\(.*?\)|<.*?>", " ", text).lower().replace("’", "'").replace("h.323", "h 3 2 3")
    text = text.replace("&", " and ").replace("%", " percent ").replace("@", " at ")
    text = re.sub(r"\d+", lambda number: f" {num2words(int(number[0]))} ", text)
    return [word for word in (w.strip("'") for w in re.sub(r"[^a-z' ]", " ", text).split()) if word]


class Aligner:
    """Holds one decoder, the words that it was taught, and how the last alignment went.

    Attributes:
        spans: (word, start s, end s, mean log score a frame) of the last alignment, silences left out.
    """

    def __init__(self):
        self.spans: list[tuple[str, float, float, float]] = []
        from pocketsphinx import Decoder

        # Beams this wide never lose the transcript, however poor the sound.
        self.decoder = Decoder(
            lm=None, bestpath=False, loglevel="FATAL", samprate=SAMPLE_RATE, beam=1e-100, wbeam=1e-80, pbeam=1e-100
        )

    def align(
        self, samples: np.ndarray, words: list[str], spelt: dict[str, str] = SPELT
    ) -> list[tuple[str, float, float]] | None:
        """Phones with times.

        Args:
            samples: [N] int16 at 16 kHz.
            words: what is said.
            spelt: ARPAbet of words that the dictionary lacks; what is in neither is spelt by flite's rules.

        Returns:
            (ARPAbet or SIL, start s, end s); None where no path fits.
        """
        for word in words:
            if self.decoder.lookup_word(word) is None:
                self.decoder.add_word(word, spelt.get(word) or " ".join(phones_of(word)), True)
        noise = np.random.default_rng(0).normal(0, 3, round(PAD * SAMPLE_RATE)).round().astype("<i2")
        data = np.concatenate([noise, samples.astype("<i2"), noise]).tobytes()
        self.decoder.set_align_text(" ".join(words))
        self._process(data)
        if self.decoder.hyp() is None:
            return None
        self.decoder.set_alignment()
        self._process(data)
        # To be read while iterating: a list of the alignment holds freed memory.
        phones, self.spans = [], []
        for word in self.decoder.get_alignment() or ():
            first, score = len(phones), 0
            for phone in word:
                start, end = phone.start / 100 - PAD + EARLY, (phone.start + phone.duration) / 100 - PAD + EARLY
                phones.append((phone.name if phone.name.isalpha() else "SIL", start, end))
                score += phone.score
            if phones[first:] and phones[first][0] != "SIL":
                start, end = phones[first][1], phones[-1][2]
                self.spans.append((word.name.split("(")[0], start, end, score / (100 * (end - start))))
        return _trimmed(phones, samples) or None

    def _process(self, data: bytes) -> None:
        self.decoder.start_utt()
        self.decoder.process_raw(data, full_utt=True)
        self.decoder.end_utt()


def _trimmed(phones: list, samples: np.ndarray) -> list[tuple[str, float, float]]:
    """Outer phones begin and end where the sound does; the clip's silence around them is SIL."""
    seconds = len(samples) / SAMPLE_RATE
    loud = np.abs(samples.astype(np.float32))
    level = np.sqrt(np.convolve(loud**2, np.ones(160) / 160, "same"))
    sounding = np.flatnonzero(level > 0.02 * level.max(initial=1))
    onset, offset = (sounding[0] / SAMPLE_RATE, sounding[-1] / SAMPLE_RATE) if len(sounding) else (0.0, seconds)
    spoken = [(p, max(s, 0.0), min(e, seconds)) for p, s, e in phones]
    while spoken and spoken[0][0] == "SIL":
        spoken.pop(0)
    while spoken and spoken[-1][0] == "SIL":
        spoken.pop()
    spoken = [row for row in spoken if row[2] > row[1]]
    if not spoken:
        return []
    phone, start, end = spoken[0]
    spoken[0] = (phone, min(max(start, onset), end - 0.02), end)
    phone, start, end = spoken[-1]
    spoken[-1] = (phone, start, max(min(end, offset), start + 0.02))
    out = [("SIL", 0.0, spoken[0][1])] if spoken[0][1] > 0 else []
    out += spoken
    return out + ([("SIL", spoken[-1][2], seconds)] if spoken[-1][2] < seconds else [])
