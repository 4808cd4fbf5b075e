"""Other languages: espeak-ng's phones mapped to ARPAbet's nearest, aligned with the English acoustic model.

The Asterisk prompts in Spanish, French and Italian and a German speaker are more people to learn from; the Russian
prompts are for testing only. A /p b m/ whose sound shows no closure is doubted.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ...runtime.processes import run_tool
from ..teacher.phones import BILABIALS
from .align import Aligner
from .prompts import NOT_SPEECH
from .shards import RATE, Utterance, at_16k, sentence_split

SOUNDS = Path("/usr/share/asterisk/sounds")
TEXTS = "/usr/share/doc/asterisk-core-sounds-{0}/core-sounds-{0}.txt.gz"
PROMPTS = {"es": "es_MX_f_Allison", "fr": "fr_CA_f_June", "it": "it_IT_m_Carlo", "ru": "ru_RU_f_IvrvoiceRU"}
STRANGER = "ru"
WORST = 0.05  # the share of clips with the lowest alignment score that is dropped
DIP = {"P": 0.1, "B": 0.15, "M": 0.25}  # of the 1-5 kHz energy around it, what a closure may keep
MARGIN = 0.08  # seconds of doubt on each side of a doubted closure

# IPA as espeak-ng writes it -> the phone that looks and sounds nearest; longer symbols first. Front rounded vowels
# take a rounded phone, taps and trills one that leaves the lips alone (English R rounds them), a Spanish fricative
# b is nearer to V than to a closure.
IPA = {
    "tʃ": "CH",
    "dʒ": "JH",
    "tɕ": "CH",
    "ts": "T S",
    "dz": "D Z",
    "pf": "P F",
    "aɪ": "AY",
    "aʊ": "AW",
    "ɔø": "OY",
    "ɔɪ": "OY",
    "eɪ": "EY",
    "oʊ": "OW",
    "p": "P",
    "b": "B",
    "m": "M",
    "f": "F",
    "v": "V",
    "β": "V",
    "ʋ": "V",
    "t": "T",
    "d": "D",
    "n": "N",
    "s": "S",
    "z": "Z",
    "θ": "TH",
    "ð": "DH",
    "ʃ": "SH",
    "ʒ": "ZH",
    "ʂ": "SH",
    "ʐ": "ZH",
    "ɕ": "SH",
    "ʑ": "ZH",
    "ç": "HH",
    "x": "HH",
    "χ": "HH",
    "h": "HH",
    "ɣ": "G",
    "k": "K",
    "g": "G",
    "ɡ": "G",
    "ɟ": "G",
    "c": "K",
    "ŋ": "NG",
    "ɲ": "N Y",
    "ʎ": "L Y",
    "ʝ": "Y",
    "l": "L",
    "ɫ": "L",
    "ɭ": "L",
    "r": "D",
    "ɾ": "D",
    "ɹ": "R",
    "ʁ": "HH",
    "w": "W",
    "ɥ": "W",
    "j": "Y",
    "a": "AA",
    "ɑ": "AA",
    "ɐ": "AH",
    "æ": "AE",
    "ə": "AH",
    "ɜ": "AH",
    "ʌ": "AH",
    "e": "EH",
    "ɛ": "EH",
    "i": "IY",
    "ɪ": "IH",
    "ɨ": "IH",
    "y": "UW",
    "ɒ": "AO",
    "ʏ": "UH",
    "ø": "ER",
    "œ": "ER",
    "o": "AO",
    "ɔ": "AO",
    "u": "UW",
    "ʊ": "UH",
    "ʉ": "UW",
    "ɵ": "AO",
    "??": "UH AH",  # so espeak-ng 1.51 writes German "ur"
}
_SYMBOL = re.compile("|".join(re.escape(symbol) for symbol in sorted(IPA, key=len, reverse=True)))
_MARKS = re.compile('\\([a-z-]+\\)|[ˈˌːˑʲʔ"‍̩̯̪̥̃\\-]')


def spelt(ipa: str) -> list[str] | None:
    """A word's IPA -> ARPAbet; None where a symbol is unknown."""
    ipa = _MARKS.sub("", ipa.replace("̃", ""))
    if _SYMBOL.sub("", ipa):
        return None
    return [phone for symbol in _SYMBOL.findall(ipa) for phone in IPA[symbol].split()]


def words_of(text: str, language: str) -> list[tuple[str, str]] | None:
    """Text -> [(made-up word, its ARPAbet)] in order, by espeak-ng; None where a symbol is unknown."""
    run = run_tool("espeak-ng", "-v", language, "-q", "--ipa", "--", text, text=True)
    words = []
    for ipa in run.stdout.split():
        phones = spelt(ipa)
        if phones is None:
            return None
        if phones:
            words.append((f"{language}.{'.'.join(phones).lower()}", " ".join(phones)))
    return words or None


def closures_unheard(samples: np.ndarray, phones: list) -> list[tuple[float, float]]:
    """Which /p b m/ show no closure in the sound.

    Args:
        samples: [N] int16 at 16 kHz; phones: (ARPAbet, start s, end s).

    Returns:
        (start s, end s) of those whose 1-5 kHz energy does not fall.
    """
    spectrum = np.fft.rfft(samples.astype(float))
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(frequency < 1000) | (frequency > 5000)] = 0
    width = RATE // 100
    power = np.square(np.fft.irfft(spectrum, len(samples)))
    energy = power[: len(power) // width * width].reshape(-1, width).mean(1) + 1e-3
    out = []
    for phone, start, end in phones:
        if phone not in BILABIALS:
            continue
        low, high = round(start * 100), max(round(end * 100), round(start * 100) + 1)
        inside = energy[max(0, low - 2) : high + 1]
        around = np.concatenate([energy[max(0, low - 12) : max(0, low - 2)], energy[high + 1 : high + 11]])
        if len(inside) and len(around) and inside.min() > DIP[phone] * np.median(np.sort(around)[len(around) // 2 :]):
            out.append((start, end))
    return out


def _prompts(language: str) -> Iterator[tuple[str, str, np.ndarray]]:
    for line in gzip.open(TEXTS.format(language), "rt", encoding="utf-8-sig"):
        name, _, text = line.partition(":")
        path = SOUNDS / PROMPTS[language][:5] / PROMPTS[language] / f"{name.strip()}.g722"
        if not path.exists():
            path = SOUNDS / language / f"{name.strip()}.g722"
        text = re.sub(r"\[.*?\]|\(.*?\)|<.*?>", " ", text).strip()
        if line.startswith(";") or not text or not path.exists() or any(n in name for n in NOT_SPEECH):
            continue
        run = run_tool("ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-ac", "1", "-")
        yield name.strip(), text, at_16k(np.frombuffer(run.stdout, "<i2"), 16_000)


def _german(folder: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    for clip, row in json.loads((folder / "german.json").read_text()).items():
        samples, rate = soundfile.read(folder / "german" / f"{clip}.opus", dtype="int16")
        yield clip, row["text"], at_16k(samples, rate)


def speak(language: str, folder: Path | None = None) -> Iterator[Utterance]:
    """A language's clips whose text aligns, the worst left out.

    Args:
        language: "es", "fr", "it" or "ru" of the prompts, or "de".
        folder: for "de", holds german/*.opus and german.json (clip -> text).
    """
    clips, aligner = [], Aligner()
    for name, text, samples in _german(folder) if language == "de" else _prompts(language):
        words = words_of(text, language)
        if not words or len(samples) < RATE // 4:
            continue
        phones = aligner.align(samples, [word for word, _ in words], dict(words))
        if phones and aligner.spans:
            length = sum(end - start for _, start, end, _ in aligner.spans)
            score = sum(mean * (end - start) for _, start, end, mean in aligner.spans) / length
            clips.append((score, name, text, samples, phones))
    floor = np.quantile([clip[0] for clip in clips], WORST) if clips else 0.0
    speaker = PROMPTS.get(language, "german")
    for score, name, text, samples, phones in clips:
        if score < floor:
            continue
        unsure = [(max(0.0, start - MARGIN), end + MARGIN) for start, end in closures_unheard(samples, phones)]
        split = "test_stranger" if language == STRANGER else sentence_split(text)
        yield Utterance(f"{language}-{name}", f"lang-{language}", speaker, split, samples, phones, unsure)
