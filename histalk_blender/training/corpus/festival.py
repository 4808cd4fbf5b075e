"""festival: diphone and HTS voices; one process speaks many sentences and saves their segments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import soundfile

from ...runtime.processes import run_tool
from .shards import Utterance, at_16k
from .symbols import US, to_arpabet

# Their labels meet the drop of 1-5 kHz energy at /p b m/ to within 10 ms as they are.
STRANGER = "ked_diphone"  # never trained on
SPEAK = """(voice_{voice})
(set! rows (load "{rows}" t))
(mapcar (lambda (row)
  (let ((utt (utt.synth (eval (list 'Utterance 'Text (cadr row))))))
    (utt.save.segs utt (string-append "{folder}/" (car row) ".lab"))
    (utt.save.wave utt (string-append "{folder}/" (car row) ".wav") 'riff))) rows)
"""


def speak(voice: str, texts: list[str]) -> Iterator[Utterance]:
    """Every text by one voice."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.scm")
        rows.write_text("\n".join(f'("{i}" "{text}.")' for i, text in enumerate(texts)))
        script = Path(folder, "speak.scm")
        script.write_text(SPEAK.format(voice=voice, rows=rows, folder=folder))
        run_tool("festival", "-b", str(script))
        for i in range(len(texts)):
            label, sound = Path(folder, f"{i}.lab"), Path(folder, f"{i}.wav")
            if not (label.exists() and sound.exists()):
                continue
            segments, start = [], 0.0
            for line in label.read_text().splitlines():
                parts = line.split()
                if len(parts) == 3:
                    segments.append((parts[2], start, float(parts[0])))
                    start = float(parts[0])
            phones = to_arpabet(segments, US)
            if phones:
                samples, rate = soundfile.read(sound, dtype="int16")
                split = "test_stranger" if voice == STRANGER else "train"
                yield Utterance(f"{voice}-{i}", "festival", voice, split, at_16k(samples, rate), phones)
