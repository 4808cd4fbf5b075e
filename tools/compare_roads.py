"""Four ways of learning to hear, each for the same minutes on the same corpus, scored on strangers.

    python tools/compare_roads.py --corpus CORPUS --out DIR --whisper WHISPER_TINY --leader CHECKPOINT --minutes 15

The leader is a checkpoint whose extractor has learned without labels (`histalk train --acoustic WHISPER_TINY --minutes 0`),
so that a road's own labels are all that it knows of them. Minutes are one thread's processor time, so that what else the
machine does changes nothing.
DIR/roads.md holds the table, DIR/NAME each run; what is there already is not done again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch

from histalk_blender.files import atomic_write
from histalk_blender.training import loop
from histalk_blender.training.datasets import open_data_set
from histalk_blender.training.evaluation.evaluate import evaluate
from histalk_blender.training.experiments.run import pooled
from histalk_blender.training.loop import TrainOptions, train
from histalk_blender.training.pretraining import warm_start

COLUMNS = {
    "opening_correlation": "opening correlation",
    "closure_recall": "closure recall",
    "closure_precision": "precision",
    "labiodental_recall": "f v recall",
    "mtm_ms": "MTM ms",
}


def roads(options: TrainOptions, whisper: Path, leader: Path) -> dict[str, TrainOptions]:
    """Each road's options; half of the minutes go where a road learns from sound alone, one in twenty for mel bands."""
    whole, half, bands = (options.minutes * share for share in (1.0, 0.5, 0.05))
    wave = replace(options, preset="wav2vec2-small", minutes=whole - half, warm_minutes=half)
    return {
        "a, wave: wav2vec 2.0's self-supervision, then all": replace(wave, contrastive=True),
        "b, wave: mel bands, then all": replace(wave, minutes=whole - bands, warm_minutes=bands),
        "c, wave: follows Whisper's encoder, then all": replace(wave, hearing=leader),
        "whisper-tiny: takes over Whisper's encoder, then all": replace(
            wave, preset="whisper-tiny", acoustic=str(whisper)
        ),
    }


def main() -> None:
    """Train what is not trained, score it, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "out", "whisper", "leader"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--most", type=int, default=60)
    parser.add_argument("--only", default="", help="first letter of the road to run; the table holds what is there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loop.time = warm_start.time = SimpleNamespace(monotonic=time.process_time)
    options = TrainOptions(arguments.corpus, arguments.out, minutes=arguments.minutes, device="cpu")
    data = open_data_set("corpus", arguments.corpus)
    rows = []
    for name, road in roads(options, arguments.whisper, arguments.leader).items():
        folder = arguments.out / name.split(":")[0].split(",")[0]
        scores = folder / "scores.json"
        if not scores.exists() and name.startswith(arguments.only):
            weights = train(replace(road, out=folder))
            told: dict = {"minutes": arguments.minutes}
            told["hours"] = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["hours_heard"]
            found = evaluate(data, weights, most=arguments.most, baselines=False, device="cpu")
            told["groups"] = {group: found.groups[group]["network"].row for group in found.groups}
            atomic_write(scores, json.dumps(told, indent=1).encode())
        if scores.exists():
            told = json.loads(scores.read_text())
            for kind in ("test_stranger readers", "test_stranger", "test_known"):
                values = [pooled(told["groups"], kind, key) for key in COLUMNS]
                cells = [name, kind, f"{told['hours']:.1f}", f"{told['hours'] * 60 / road.minutes:.0f}"]
                rows.append(cells + [f"{value:.0f}" if value > 1 else f"{value:.2f}" for value in values])
    head = ["road", "tested on", "hours heard with labels", "hours an hour", *COLUMNS.values()]
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    (arguments.out / "roads.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
