"""flite: US English voices whose phone times are known exactly."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ...runtime.processes import run_tool
from .shards import Utterance, at_16k, shifted
from .symbols import US, to_arpabet

VOICES = ("slt", "rms", "awb", "kal16")
PITCH = {"slt": (140, 230), "awb": (90, 160), "kal16": (80, 150)}  # Hz; rms has a pitch of its own
LATE = {"kal16": 0.009}  # seconds by which labels follow the acoustic closure


def phones_of(word: str) -> list[str]:
    """ARPAbet of a word that no dictionary holds, by flite's letter-to-sound rules."""
    run = run_tool("flite", "-voice", "kal16", "-ps", "-t", word, "none", text=True)
    return [p for symbol in run.stdout.split() for p in US.get(symbol, "SIL").split() if p != "SIL"]


def speak(texts: list[str], seed: int) -> Iterator[Utterance]:
    """Each text by one of the voices, at a rate and pitch drawn at random."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "o.wav")
        for i, text in enumerate(texts):
            voice = VOICES[i % len(VOICES)]
            settings = {"duration_stretch": f"{random.uniform(0.8, 1.25):.2f}"}
            if voice in PITCH:
                settings["int_f0_target_mean"] = f"{random.uniform(*PITCH[voice]):.0f}"
            options = [o for key, value in settings.items() for o in ("--setf", f"{key}={value}")]
            run = run_tool("flite", "-voice", voice, *options, "-psdur", "-t", f"{text}.", str(path), text=True)
            segments, start = [], 0.0
            for pair in run.stdout.split():
                symbol, end = pair.rsplit(":", 1)
                segments.append((symbol, start, float(end)))
                start = float(end)
            phones = to_arpabet(segments, US)
            if phones and path.exists():
                samples, rate = soundfile.read(path, dtype="int16")
                phones = shifted(phones, -LATE.get(voice, 0.0))
                yield Utterance(f"flite-{voice}-{i}", "flite", voice, "train", at_16k(samples, rate), phones)
