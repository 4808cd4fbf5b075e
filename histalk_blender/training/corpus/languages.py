"""Other languages: espeak-ng's phones as the nearest of ARPAbet's, aligned with the English acoustic model.

A language is one entry of `LANGUAGES`: where its speech lies, how much of it training draws, and which of its phones
differ from `IPA`. A /p b m/ whose sound shows no closure is doubted.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from ...audio import SAMPLE_RATE
from ...runtime.processes import find_tool, run_tool
from ..teacher.phones import BILABIALS
from .align import Aligner
from .prompts import NOT_SPEECH, read_g722
from .shards import Utterance, at_16k, sentence_split

SOUNDS = Path("/usr/share/asterisk/sounds")
TEXTS = "/usr/share/doc/asterisk-core-sounds-{0}/core-sounds-{0}.txt.gz"
WORST = 0.05  # the share of clips with the lowest alignment score that is dropped
DIP = {"P": 0.1, "B": 0.15, "M": 0.25}  # of the 1-5 kHz energy around it, what a closure may keep
MARGIN = 0.08  # seconds of doubt on each side of a doubted closure

# ARPAbet -> the IPA, as espeak-ng writes it, that looks and sounds nearest. Front rounded vowels take a rounded phone,
# taps and trills one that leaves the lips alone (English R rounds them), a Spanish fricative b is nearer to V than to a
# closure.
NEAREST = {
    "CH": "tʃ tɕ",
    "JH": "dʒ",
    "T S": "ts",
    "D Z": "dz",
    "P F": "pf",
    "AY": "aɪ",
    "AW": "aʊ",
    "OY": "ɔø ɔɪ",
    "EY": "eɪ",
    "OW": "oʊ",
    "P": "p",
    "B": "b",
    "M": "m",
    "F": "f",
    "V": "v β ʋ",
    "T": "t",
    "D": "d r ɾ",
    "N": "n",
    "S": "s",
    "Z": "z",
    "TH": "θ",
    "DH": "ð",
    "SH": "ʃ ʂ ɕ",
    "ZH": "ʒ ʐ ʑ",
    "HH": "ç x χ h ʁ",
    "G": "ɣ g ɡ ɟ",
    "K": "k c",
    "NG": "ŋ",
    "N Y": "ɲ",
    "L Y": "ʎ",
    "Y": "ʝ j",
    "L": "l ɫ ɭ",
    "R": "ɹ",
    "W": "w ɥ",
    "AA": "a ɑ",
    "AH": "ɐ ə ɜ ʌ",
    "AE": "æ",
    "EH": "e ɛ",
    "IY": "i",
    "IH": "ɪ ɨ",
    "UW": "y u ʉ",
    "AO": "ɒ o ɔ ɵ",
    "UH": "ʏ ʊ",
    "ER": "ø œ",
}
IPA = {symbol: phones for phones, symbols in NEAREST.items() for symbol in symbols.split()}
_MARKS = re.compile('\\([a-z-]+\\)|[ˈˌːˑʲʔ"‍̩̯̪̥̃\\-]')


@dataclass(frozen=True)
class Language:
    """What the corpus needs to know of a language that espeak-ng can spell."""

    share: float  # of what a batch holds
    speaker: str  # in the corpus; of Asterisk's prompts also their folder
    folder: str = ""  # of the real speech: FOLDER/*.opus and FOLDER.json (clip -> text); "" = Asterisk's prompts
    phones: Mapping[str, str] = field(default_factory=dict)  # IPA -> ARPAbet, added to `IPA` or in place of its own
    test_only: bool = False

    @cached_property
    def table(self) -> dict[str, str]:
        """IPA -> ARPAbet."""
        return {**IPA, **self.phones}

    @cached_property
    def symbols(self) -> re.Pattern:
        """Any symbol of the table, longer ones first."""
        return re.compile("|".join(re.escape(symbol) for symbol in sorted(self.table, key=len, reverse=True)))

    def arpabet(self, ipa: str) -> list[str] | None:
        """A word's IPA -> ARPAbet; None where a symbol is unknown."""
        ipa = _MARKS.sub("", ipa.replace("̃", ""))
        if self.symbols.sub("", ipa):
            return None
        return [phone for symbol in self.symbols.findall(ipa) for phone in self.table[symbol].split()]


# By espeak-ng's code.
LANGUAGES = {
    # espeak-ng 1.51 writes German "ur" as "??".
    "de": Language(share=0.04, speaker="german", folder="german", phones={"??": "UH AH"}),
    "es": Language(share=0.03, speaker="es_MX_f_Allison"),
    "fr": Language(share=0.03, speaker="fr_CA_f_June"),
    "it": Language(share=0.03, speaker="it_IT_m_Carlo"),
    "ru": Language(share=0.0, speaker="ru_RU_f_IvrvoiceRU", test_only=True),
}


def words_of(text: str, code: str) -> list[tuple[str, str]] | None:
    """Text -> [(made-up word, its ARPAbet)] in order, by espeak-ng; None where a symbol is unknown."""
    run = run_tool("espeak-ng", "-v", code, "-q", "--ipa", "--", text, text=True)
    words = []
    for ipa in run.stdout.split():
        phones = LANGUAGES[code].arpabet(ipa)
        if phones is None:
            return None
        if phones:
            words.append((f"{code}.{'.'.join(phones).lower()}", " ".join(phones)))
    return words or None


def missing_closures(samples: np.ndarray, phones: list) -> list[tuple[float, float]]:
    """Which /p b m/ show no closure in the sound.

    Args:
        samples: [N] int16 at 16 kHz; phones: (ARPAbet, start s, end s).

    Returns:
        (start s, end s) of those whose 1-5 kHz energy does not fall.
    """
    spectrum = np.fft.rfft(samples.astype(float))
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    spectrum[(frequency < 1000) | (frequency > 5000)] = 0
    width = SAMPLE_RATE // 100
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


def missing(code: str, real_folder: Path | None) -> str:
    """What is not here of what a language needs, and how to get it; "" if all is here."""
    if not (find_tool("ffmpeg") and find_tool("espeak-ng")):
        return "apt-get install ffmpeg espeak-ng"
    folder = LANGUAGES[code].folder
    if folder:
        there = real_folder is not None and (real_folder / f"{folder}.json").exists()
        return "" if there else f"'{folder}.json' is not in the folder of real speech"
    there = (SOUNDS / code).exists() and Path(TEXTS.format(code)).exists()
    return "" if there else f"apt-get install asterisk-core-sounds-{code}-g722"


def _prompts(code: str) -> Iterator[tuple[str, str, np.ndarray]]:
    speaker = LANGUAGES[code].speaker
    for line in gzip.open(TEXTS.format(code), "rt", encoding="utf-8-sig"):
        name, _, text = line.partition(":")
        path = SOUNDS / speaker[:5] / speaker / f"{name.strip()}.g722"
        if not path.exists():
            path = SOUNDS / code / f"{name.strip()}.g722"
        text = re.sub(r"\[.*?\]|\(.*?\)|<.*?>", " ", text).strip()
        if line.startswith(";") or not text or not path.exists() or any(n in name for n in NOT_SPEECH):
            continue
        yield name.strip(), text, read_g722(path)


def _real(folder: Path, name: str) -> Iterator[tuple[str, str, np.ndarray]]:
    for clip, row in json.loads((folder / f"{name}.json").read_text()).items():
        samples, rate = soundfile.read(folder / name / f"{clip}.opus", dtype="int16")
        yield clip, row["text"], at_16k(samples, rate)


def speak(code: str, real_folder: Path | None = None) -> Iterator[Utterance]:
    """A language's clips whose text aligns, the worst left out.

    Args:
        code: one of `LANGUAGES`.
        real_folder: the folder of real speech, for languages that have a folder in it.
    """
    language, aligned, aligner = LANGUAGES[code], [], Aligner()
    for name, text, samples in _real(real_folder or Path(), language.folder) if language.folder else _prompts(code):
        words = words_of(text, code)
        if not words or len(samples) < SAMPLE_RATE // 4:
            continue
        phones = aligner.align(samples, [word for word, _ in words], dict(words))
        if phones and aligner.spans:
            length = sum(end - start for _, start, end, _ in aligner.spans)
            score = sum(mean * (end - start) for _, start, end, mean in aligner.spans) / length
            aligned.append((score, name, text, samples, phones))
    floor = np.quantile([clip[0] for clip in aligned], WORST) if aligned else 0.0
    for score, name, text, samples, phones in aligned:
        if score < floor:
            continue
        unsure = [(max(0.0, start - MARGIN), end + MARGIN) for start, end in missing_closures(samples, phones)]
        split = "test_stranger" if language.test_only else sentence_split(text)
        yield Utterance(f"{code}-{name}", f"lang-{code}", language.speaker, split, samples, phones, unsure)
