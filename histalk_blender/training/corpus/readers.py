"""The LibriSpeech readers, one clip each: recognised words, aligned; where the recognisers differ, labels are doubted.

Training believes a word that either recogniser is sure of. Testing keeps only stretches on which both agree, of
readers who are not trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import soundfile

from ...audio import SAMPLE_RATE
from .align import Aligner, words_of
from .shards import Utterance, at_16k, held_out_speakers

SURE = 0.5  # probability from which the first recogniser is believed alone
WORST = 0.03  # the share of words with the lowest alignment score that is doubted
STRETCH = 1.5  # seconds that both must agree on, for a test clip
MARGIN = 0.05  # seconds of doubt on each side of a doubted word


def agreement(recognised: list, other: list[str]) -> tuple[list[str], list[bool], list[bool]]:
    """The words of one recogniser compared with those of another.

    Args:
        recognised: (word as written, probability); other: words.

    Returns:
        Spelt words, whether both found each, and whether at least one is sure of it.
    """
    words, sure = [], []
    for written, probability in recognised:
        spelt = words_of(written)
        words += spelt
        sure += [probability >= SURE] * len(spelt)
    both = [False] * len(words)
    for block in SequenceMatcher(None, words, other, autojunk=False).get_matching_blocks():
        both[block.a : block.a + block.size] = [True] * block.size
    return words, both, [a or b for a, b in zip(sure, both)]


def stretches(spans: list, both: list[bool]) -> list[tuple[float, float]]:
    """Start and end in seconds of the longer runs of words on which both recognisers agree."""
    runs, begin, end = [], None, None
    for (_, start, stop, _), agreed in [*zip(spans, both), (("", 0.0, 0.0, 0.0), False)]:
        if agreed:
            begin, end = start if begin is None else begin, stop
        elif begin is not None:
            if end - begin >= STRETCH:
                runs.append((begin, end))
            begin = None
    return runs


def missing(folder: Path, recognised: Path) -> str:
    """What is not here of what the readers need, and how to get it; "" if all is here."""
    if not (folder / "librispeech.json").exists():
        return f"'{folder / 'librispeech.json'}' is not there"
    command = "python -P -m histalk_blender.training.corpus.recognise"
    return "" if recognised.exists() else f"{command} {folder / 'librispeech'} {recognised}"


def speak(folder: Path, recognised: Path) -> Iterator[Utterance]:
    """Every reader whose words align.

    Args:
        folder: holds librispeech/*.opus and librispeech.json (clip -> speaker, and another recogniser's
            words [[word, start, end]]).
        recognised: the file that `recognise` wrote.
    """
    table = json.loads((folder / "librispeech.json").read_text())
    found = json.loads(recognised.read_text())
    aligner, clips = Aligner(), []
    held_out = held_out_speakers(row["speaker"] for row in table.values())
    for clip, row in table.items():
        words, both, sure = agreement(found.get(clip, []), [word for word, _, _ in row["words"]])
        samples, rate = soundfile.read(folder / "librispeech" / f"{clip}.opus", dtype="int16")
        samples = at_16k(samples, rate)
        phones = aligner.align(samples, words) if words else None
        if phones and len(aligner.spans) == len(words):
            clips.append((clip, row["speaker"], samples, phones, aligner.spans, both, sure))
    floor = np.quantile([span[3] for clip in clips for span in clip[4]], WORST) if clips else 0.0
    for clip, speaker, samples, phones, spans, both, sure in clips:
        good = [score > floor for *_, score in spans]
        if speaker in held_out:
            agreed = [a and b for a, b in zip(both, good)]
            for i, (begin, end) in enumerate(stretches(spans, agreed)):
                cut = samples[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
                inside = [
                    (p, max(s, begin) - begin, min(e, end) - begin) for p, s, e in phones if e > begin and s < end
                ]
                yield Utterance(f"reader-{clip}-{i}", "readers", speaker, "test_stranger", cut, inside)
            continue
        unsure = [
            (max(0.0, start - MARGIN), end + MARGIN)
            for (_, start, end, _), known, fits in zip(spans, sure, good)
            if not (known and fits)
        ]
        yield Utterance(f"reader-{clip}", "readers", speaker, "train", samples, phones, unsure)
