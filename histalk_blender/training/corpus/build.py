"""Make the training corpus: python -P -m histalk_blender.training.corpus.build --out corpus [--real FOLDER]."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import click
from tqdm import tqdm

from ...runtime.processes import find_tool
from . import espeak, festival, flite, languages, prompts, readers, real
from .shards import write_shard, write_splits
from .texts import sentences

SECONDS = 3.0  # of speech in one of our sentences, about
SHARES = {"flite": 0.5, "espeak": 0.35, "festival-kal_diphone": 0.1, "festival-cmu_us_slt_arctic_hts": 0.05}
HEARD = "librispeech.heard.json"  # in the corpus' folder, written by `recognise`
MEND = "apt-get install flite festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts espeak-ng"


def _make(out: Path, name: str, real_folder: Path | None, count: int, seed: int) -> tuple[str, float]:
    kind, _, voice = name.partition("-")
    if kind == "flite":
        clips = flite.speak(sentences(count, seed), seed)
    elif kind == "espeak":
        clips = espeak.speak(sentences(count, seed + 1), seed)
    elif kind == "festival":
        clips = festival.speak(voice, sentences(count, seed + 2 + len(voice)))
    elif kind == "lang":
        clips = languages.speak(voice, real_folder)
    elif kind == "readers":
        clips = readers.speak(real_folder, out / HEARD)
    elif kind == "prompts":
        clips = prompts.speak()
    else:
        clips = real.speak(real_folder, voice)
    return name, write_shard(out, name, clips)


def _plan(out: Path, real_folder: Path | None, hours: float) -> tuple[dict[str, int], list[str]]:
    """Shard -> sentences to speak, and what is missing here."""
    plan, missing = {}, []
    count = round(hours * 3600 / SECONDS)
    for engine in ("flite", "espeak", "festival") if count else ():
        if not find_tool("espeak-ng" if engine == "espeak" else engine):
            missing.append(f"{engine} is not installed, its voices are left out ({MEND})")
            continue
        plan |= {name: max(1, round(share * count)) for name, share in SHARES.items() if name.startswith(engine)}
    if count and "festival-kal_diphone" in plan:
        plan[f"festival-{festival.STRANGER}"] = min(60, count)
    if prompts.SOUNDS.is_dir() and find_tool("ffmpeg") and find_tool("flite"):
        plan["prompts"] = 0
    else:
        missing.append(
            "the recorded prompts are left out (apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722 "
            "ffmpeg flite)"
        )
    for language in languages.PROMPTS if find_tool("ffmpeg") and find_tool("espeak-ng") else ():
        if (languages.SOUNDS / language).exists() and Path(languages.TEXTS.format(language)).exists():
            plan[f"lang-{language}"] = 0
        else:
            missing.append(
                f"the '{language}' prompts are left out (apt-get install asterisk-core-sounds-{language}-g722)"
            )
    if real_folder and (real_folder / "german.json").exists() and find_tool("espeak-ng"):
        plan["lang-de"] = 0
    if real_folder and (real_folder / "librispeech.json").exists():
        if (out / HEARD).exists():
            plan["readers"] = 0
        else:
            missing.append(
                f"the readers are left out: python -P -m histalk_blender.training.corpus.recognise "
                f"{real_folder / 'librispeech'} {out / HEARD}"
            )
    for name in real.FOLDERS if real_folder else ():
        if (real_folder / f"{name}.json").exists():
            plan[f"real-{name}"] = 0
        else:
            missing.append(f"'{real_folder / name}.json' is not there, that speech is left out")
    return plan, missing


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of shards.")
@click.option("--real", "real_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--hours", type=click.FloatRange(0), default=6.0, show_default=True, help="Of synthetic speech.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(out: Path, real_folder: Path | None, hours: float, seed: int) -> None:
    """Make shards of speech with known phone times; a killed run goes on with the shards that are missing.

    Synthetic speech and the Asterisk prompts need only Debian packages. REAL holds, for each of kathleen, commands,
    wakewords, digits and ljspeech, NAME/*.opus and NAME.json (clip -> text, score, phones [[ARPAbet, start, end]],
    speaker); german and librispeech have text or guessed words in place of phones. Their sound is public:
    rhasspy/dataset-voice-kathleen and -kerstin (CC0), Picovoice/speech-to-intent-benchmark and
    Picovoice/wake-word-benchmark (Apache-2.0), Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0), LJ Speech (public
    domain), LibriSpeech (CC BY 4.0); phones come from corpus/align.py. OUT/splits.tsv tells who is for testing.
    """
    out.mkdir(parents=True, exist_ok=True)
    plan, missing = _plan(out, real_folder, hours)
    for sentence in missing:
        click.echo(f"corpus: {sentence}", err=True)
    todo = {name: count for name, count in plan.items() if not (out / f"{name}.jsonl").exists()}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(_make, out, name, real_folder, count, seed) for name, count in todo.items()]
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="shard", disable=None):
            name, made = job.result()
            tqdm.write(f"{name}: {made:.2f} h", file=sys.stdout)
    click.echo(f"clips by split: {write_splits(out)}")


if __name__ == "__main__":
    main()
