"""Make the training corpus: python -P -m histalk_blender.training.corpus.build --out corpus [--real FOLDER]."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

from ...runtime.processes import find_tool
from . import espeak, festival, flite, languages, prompts, readers, real
from .shards import Utterance, write_shard, write_splits
from .texts import sentences

SECONDS = 3.0  # of speech in one of our sentences, about
FLITE, ESPEAK = 0.5, 0.35  # of our sentences; the rest is festival's, by voice
FESTIVAL = {"kal_diphone": 0.1, "cmu_us_slt_arctic_hts": 0.05}
TEST_SENTENCES = 60  # of the voice that is for testing only
RECOGNISED = "librispeech.heard.json"  # in the corpus' folder, written by `recognise`
ENGINES = "apt-get install flite festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts espeak-ng"


@dataclass(frozen=True)
class Shard:
    """One source of speech."""

    name: str
    speak: Callable[[], Iterable[Utterance]]  # called in a process of its own
    missing: str = ""  # what it would need, where it cannot be made


def _flite(count: int, seed: int) -> Iterable[Utterance]:
    return flite.speak(sentences(count, seed), seed)


def _espeak(count: int, seed: int) -> Iterable[Utterance]:
    return espeak.speak(sentences(count, seed + 1), seed)


def _festival(voice: str, count: int, seed: int) -> Iterable[Utterance]:
    return festival.speak(voice, sentences(count, seed + 2 + len(voice)))


def _synthetic(count: int, seed: int) -> Iterator[Shard]:
    """So many of our sentences, shared among the engines."""

    def missing(tool: str) -> str:
        return "" if find_tool(tool) else ENGINES

    def part(share: float) -> int:
        return max(1, round(share * count))

    yield Shard("flite", partial(_flite, part(FLITE), seed), missing("flite"))
    yield Shard("espeak", partial(_espeak, part(ESPEAK), seed), missing("espeak-ng"))
    voices = {voice: part(share) for voice, share in FESTIVAL.items()} | {festival.STRANGER: min(TEST_SENTENCES, count)}
    for voice, sentences_of_it in voices.items():
        yield Shard(f"festival-{voice}", partial(_festival, voice, sentences_of_it, seed), missing("festival"))


def _shards(out: Path, real_folder: Path | None, hours: float, seed: int) -> Iterator[Shard]:
    """Everything that a corpus may hold."""
    if count := round(hours * 3600 / SECONDS):
        yield from _synthetic(count, seed)
    yield Shard("prompts", prompts.speak, prompts.missing())
    for code in languages.LANGUAGES:
        yield Shard(f"lang-{code}", partial(languages.speak, code, real_folder), languages.missing(code, real_folder))
    if real_folder:
        recognised = out / RECOGNISED
        missing = readers.missing(real_folder, recognised)
        yield Shard("readers", partial(readers.speak, real_folder, recognised), missing)
        for name in real.FOLDERS:
            there = (real_folder / f"{name}.json").exists()
            missing = "" if there else f"'{real_folder / name}.json' is not there"
            yield Shard(f"real-{name}", partial(real.speak, real_folder, name), missing)


def _make(out: Path, shard: Shard) -> tuple[str, float]:
    return shard.name, write_shard(out, shard.name, shard.speak())


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of shards.")
@click.option("--real", "real_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--hours", type=click.FloatRange(0), default=6.0, show_default=True, help="Of synthetic speech.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(out: Path, real_folder: Path | None, hours: float, seed: int) -> None:
    """Make shards of speech with known phone times; an interrupted run resumes with those that are not there.

    Synthetic speech and the Asterisk prompts need only Debian packages. REAL holds, for each of kathleen, commands,
    wakewords, digits and ljspeech, NAME/*.opus and NAME.json (clip -> text, score, phones [[ARPAbet, start, end]],
    speaker); german and librispeech have text or guessed words in place of phones. Their sound is public:
    rhasspy/dataset-voice-kathleen and -kerstin (CC0), Picovoice/speech-to-intent-benchmark and
    Picovoice/wake-word-benchmark (Apache-2.0), Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0), LJ Speech (public
    domain), LibriSpeech (CC BY 4.0); phones come from corpus/align.py. OUT/splits.tsv lists what is for testing.
    """
    out.mkdir(parents=True, exist_ok=True)
    todo = []
    for shard in _shards(out, real_folder, hours, seed):
        if shard.missing:
            click.echo(f"corpus: {shard.name} is left out ({shard.missing})", err=True)
        elif not (out / f"{shard.name}.jsonl").exists():
            todo.append(shard)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(_make, out, shard) for shard in todo]
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="shard", disable=None):
            name, made = job.result()
            tqdm.write(f"{name}: {made:.2f} h", file=sys.stdout)
    click.echo(f"clips by split: {write_splits(out)}")


if __name__ == "__main__":
    main()
