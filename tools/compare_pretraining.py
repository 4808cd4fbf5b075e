"""Four ways for the acoustic extractor to start, each for the same minutes on the same corpus, scored on strangers.

    python tools/compare_pretraining.py --corpus CORPUS --out DIR --whisper WHISPER_TINY --teacher CHECKPOINT

The teacher is a checkpoint whose extractor was trained without labels (`histalk train --acoustic WHISPER_TINY --minutes
0`), so that labels come from the compared training alone. Minutes are one thread's processor time, so that what else
the machine does changes nothing.
DIR/pretraining.md holds the table, DIR/NAME each run; finished runs are kept.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from histalk_blender.files import atomic_write
from histalk_blender.training.datasets import open_data_set
from histalk_blender.training.evaluation.evaluate import evaluate
from histalk_blender.training.experiments.results import pooled
from histalk_blender.training.loop import train
from histalk_blender.training.options import TrainOptions

COLUMNS = {
    "opening_correlation": "opening correlation",
    "closure_recall": "closure recall",
    "closure_precision": "precision",
    "labiodental_recall": "f v recall",
    "mtm_ms": "MTM ms",
}


def pretraining_options(options: TrainOptions, whisper: Path, teacher: Path) -> dict[str, TrainOptions]:
    """The options of each; half of the minutes are without labels, or one in twenty for mel bands."""
    whole, half, bands = (options.minutes * share for share in (1.0, 0.5, 0.05))
    wave = replace(options, preset="wav2vec2-small", minutes=whole - half, pretrain_minutes=half)
    return {
        "contrastive: wav2vec2-small, wav2vec 2.0's self-supervision, then all": replace(wave, contrastive=True),
        "mel: wav2vec2-small, mel bands, then all": replace(wave, minutes=whole - bands, pretrain_minutes=bands),
        "distilled: wav2vec2-small, Whisper's features, then all": replace(wave, acoustic_from=teacher),
        "whisper: whisper-tiny, Whisper's encoder, then all": replace(
            wave, preset="whisper-tiny", acoustic=str(whisper)
        ),
    }


def main() -> None:
    """Train what is not trained, score it, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "out", "whisper", "teacher"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--max-per-group", type=int, default=60)
    parser.add_argument("--only", default="", help="name of the one to run; the table holds what is there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = TrainOptions(
        arguments.corpus, arguments.out, minutes=arguments.minutes, clock=time.process_time, device="cpu"
    )
    data, rows = open_data_set("corpus", arguments.corpus), []
    for title, chosen in pretraining_options(options, arguments.whisper, arguments.teacher).items():
        folder = arguments.out / title.partition(":")[0]
        path = folder / "scores.json"
        if not path.exists() and title.startswith(arguments.only):
            weights = train(replace(chosen, out=folder))
            last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
            found = evaluate(data, weights, max_per_group=arguments.max_per_group, baselines=False, device="cpu")
            scores = {group: found.groups[group]["network"].row for group in found.groups}
            kept = {"minutes": arguments.minutes, "hours": last["speech_hours"], "groups": scores}
            atomic_write(path, json.dumps(kept, indent=1).encode())
        if path.exists():
            kept = json.loads(path.read_text())
            for kind in ("test_stranger readers", "test_stranger", "test_known"):
                values = [pooled(kept["groups"], kind, key) for key in COLUMNS]
                cells = [title, kind, f"{kept['hours']:.1f}", f"{kept['hours'] * 60 / chosen.minutes:.0f}"]
                rows.append(cells + [f"{value:.0f}" if value > 1 else f"{value:.2f}" for value in values])
    head = ["pretraining", "tested on", "hours of speech with labels", "hours an hour", *COLUMNS.values()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))
    (arguments.out / "pretraining.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
