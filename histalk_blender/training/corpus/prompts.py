"""The Asterisk English prompts (Debian: asterisk-core-sounds-en-g722; CC BY-SA 3.0), aligned to their text."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...audio import SAMPLE_RATE
from ...runtime.processes import find_tool, run_tool
from .align import Aligner, words_of
from .shards import Utterance, at_16k, sentence_split

SOUNDS = Path("/usr/share/asterisk/sounds/en")
TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
NOT_SPEECH = ("beep", "beeperr", "-2tone", "confbridge-join", "confbridge-leave", "tt-monkeys", "silence/")
DEMO = "dir-instr"  # the bundled demo sentence is not trained on


def missing() -> str:
    """What is not here of what the prompts need, and how to get it; "" if all is here."""
    if SOUNDS.is_dir() and find_tool("ffmpeg") and find_tool("flite"):
        return ""
    return "apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722 ffmpeg flite"


def transcripts() -> dict[str, str]:
    """Prompt name -> text, of those that are speech."""
    rows = (line.split(":", 1) for line in gzip.open(TEXTS, "rt", encoding="utf8") if not line.startswith(";"))
    return {
        name.strip(): text.strip()
        for name, _, text in (row if len(row) == 3 else (row[0], "", row[-1]) for row in rows)
        if not any(name.strip() == n or name.strip().endswith(n) or name.startswith(n) for n in NOT_SPEECH)
    }


def read_g722(path: Path) -> np.ndarray:
    """[N] int16 at 16 kHz of one prompt, by ffmpeg."""
    run = run_tool("ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-ac", "1", "-")
    return at_16k(np.frombuffer(run.stdout, "<i2"), SAMPLE_RATE)


def speak() -> Iterator[Utterance]:
    """Every prompt that aligns."""
    aligner = Aligner()
    for name, text in transcripts().items():
        path, words = SOUNDS / f"{name}.g722", words_of(text)
        if not (path.exists() and words):
            continue
        samples = read_g722(path)
        phones = aligner.align(samples, words) if len(samples) else None
        if phones:
            split = "test_known" if name == DEMO else sentence_split(text)
            yield Utterance(f"prompt-{name}", "prompts", "allison", split, samples, phones)
