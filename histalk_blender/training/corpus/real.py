"""A folder of aligned real speech: NAME/*.opus beside NAME.json (clip -> text, score, phones, speaker)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ...audio import SAMPLE_RATE
from .align import EARLY
from .shards import Utterance, at_16k, held_out_speakers, sentence_split, shifted

FOLDERS = ("kathleen", "commands", "wakewords", "digits", "ljspeech")
STRANGERS = ("ljspeech",)  # too little to learn from, and the only reader of prose: for testing alone
ONE_VOICE = ("kathleen",)  # where no stranger can be held out, sentences are
WORST = 0.03  # the share of clips with the lowest alignment score that is dropped
MARGIN = 0.3  # seconds of silence kept around speech


def speak(folder: Path, name: str) -> Iterator[Utterance]:
    """The clips of one folder, cropped to their speech."""
    table = json.loads((folder / f"{name}.json").read_text())
    floor = np.quantile([row["score"] for row in table.values()], WORST)
    # The digits' clips are named after their speakers; wake words come from many unnamed ones.
    speakers = {
        clip: clip.split("_")[0] if name == "digits" else str(row.get("speaker", name)) for clip, row in table.items()
    }
    several = len(set(speakers.values())) > 1
    held_out = held_out_speakers(speakers.values()) if several else set()
    for clip, row in table.items():
        if row["score"] < floor or not any(phone != "SIL" for phone, _, _ in row["phones"]):
            continue
        if name in STRANGERS or speakers[clip] in held_out:
            split = "test_stranger"
        else:
            split = sentence_split(row["text"]) if name in ONE_VOICE else "train"
        samples, rate = soundfile.read(folder / name / f"{clip}.opus", dtype="int16")
        phones = shifted([tuple(phone) for phone in row["phones"]], EARLY)
        samples, phones = _cropped(at_16k(samples, rate), phones)
        yield Utterance(f"{name}-{clip}", name, speakers[clip], split, samples, phones)


def _cropped(samples: np.ndarray, phones: list) -> tuple[np.ndarray, list]:
    spoken = [row for row in phones if row[0] != "SIL"]
    begin = max(0.0, spoken[0][1] - MARGIN)
    end = min(len(samples) / SAMPLE_RATE, spoken[-1][2] + MARGIN)
    inside = [(p, max(s, begin) - begin, min(e, end) - begin) for p, s, e in phones if e > begin and s < end]
    return samples[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)], inside
