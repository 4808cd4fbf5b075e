"""Score a checkpoint against the teacher on held-out clips, beside three baselines.

python -m histalk_blender.training.evaluate --corpus corpus --weights model_weights/histalk-small.safetensors
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import torch
from tqdm import tqdm

from ..audio import normalise_level
from ..head import lip_opening, load_head
from ..network import load_checkpoint
from ..units import ARKIT_UNITS
from .batches import RATE, Clip, load_clips
from .metrics import closures, lve, vertex_error
from .teacher import loudness
from .warm_start import log_mel

CONTEXT = 5  # frames on each side that the linear map sees


def _samples(clip: Clip) -> np.ndarray:
    return np.asarray(clip.samples, np.float32) / 32768


def mel_features(clip: Clip, frames: int) -> np.ndarray:
    """[T, 80 · 11 + 1] log-mel energies around each frame."""
    mel = log_mel(torch.from_numpy(_samples(clip))[None], RATE, 320)[0].numpy()
    at = np.arange(frames)[:, None] * 50 / 30 + np.arange(-CONTEXT, CONTEXT + 1)
    stacked = mel[np.clip(at.round().astype(int), 0, len(mel) - 1)].reshape(frames, -1)
    return np.concatenate([stacked, np.ones((frames, 1), np.float32)], 1)


class Baselines:
    """The mean face, a jaw that flaps with loudness, and a linear map from mel energies to units."""

    def __init__(self, clips: list[Clip]):
        units = [np.asarray(clip.units, np.float32) for clip in clips]
        self.mean = np.concatenate(units).mean(0)
        features = [mel_features(clip, len(unit)) for clip, unit in zip(clips, units)]
        gram = sum(f.T.astype(np.float64) @ f for f in features)
        gram += np.eye(len(gram)) * 1e-3 * np.trace(gram) / len(gram)
        self.linear = np.linalg.solve(gram, sum(f.T @ u for f, u in zip(features, units)))
        jaw = ARKIT_UNITS.index("jawOpen")
        loud = np.concatenate([self._loud(clip, len(unit)) for clip, unit in zip(clips, units)])
        self.jaw = float((loud @ np.concatenate(units)[:, jaw]) / (loud @ loud))

    @staticmethod
    def _loud(clip: Clip, frames: int) -> np.ndarray:
        return loudness(_samples(clip), np.arange(frames) / 30)

    def units(self, name: str, clip: Clip) -> np.ndarray:
        """[T, 52] unit weights of one baseline."""
        frames = len(clip.units)
        if name == "mean face":
            return np.tile(self.mean, (frames, 1))
        if name == "loudness jaw":
            out = np.zeros((frames, len(ARKIT_UNITS)), np.float32)
            out[:, ARKIT_UNITS.index("jawOpen")] = self.jaw * self._loud(clip, frames)
            return out
        return np.clip(mel_features(clip, frames) @ self.linear, 0, 1)


def score(clips: list[Clip], predict, head) -> dict[str, float | None]:
    """The table's row for one predictor.

    Args:
        predict: function from a clip to dense displacements [T, V, 3] in metres.
    """
    rest = lip_opening(head.landmarks(head.vertices))
    counts, errors, lips, pairs, frames = np.zeros(4, int), 0.0, 0.0, [], 0
    for clip in tqdm(clips, leave=False, disable=None):
        truth = head.pose(np.asarray(clip.units, np.float32))
        predicted = predict(clip)[: len(truth)]
        truth = truth[: len(predicted)]
        frames += len(truth)
        errors += len(truth) * vertex_error(truth, predicted)
        lips += len(truth) * lve(truth, predicted, head.regions["lips"])
        openings = [lip_opening(head.landmarks(head.vertices + motion)) - rest for motion in (truth, predicted)]
        pairs.append(np.stack(openings))
        counts += closures(openings[1], clip.phones)
    both = np.concatenate(pairs, 1)
    spread = both.std(1)
    return {
        "clips": len(clips),
        "vertex_error_mm": 1000 * errors / frames,
        "root_lve_mm": 1000 * float(np.sqrt(lips / frames)),
        "opening_correlation": float(np.corrcoef(both)[0, 1]) if spread.min() > 1e-7 else None,
        "closure_recall": counts[0] / counts[1] if counts[1] else None,
        "closure_precision": counts[2] / counts[3] if counts[1] and counts[3] else None,
    }


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True)
@click.option("--weights", type=click.Path(path_type=Path), required=True)
@click.option("--most", type=int, default=120, show_default=True, help="Clips of a split at the most.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the table as JSON.")
def main(corpus: Path, weights: Path, most: int, out: Path | None) -> None:
    """Print one table: strangers and known voices apart, the network beside the baselines."""
    head, model = load_head(), load_checkpoint(weights)
    baselines = Baselines(load_clips(corpus, {"train"})[::12])
    held_out = load_clips(corpus, {"test_stranger", "test_known"})

    def network(clip: Clip) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(normalise_level(_samples(clip)))[None]).displacements[0].numpy()

    rows = {}
    for split in sorted({f"{clip.split} {clip.source}" for clip in held_out}):
        clips = [clip for clip in held_out if f"{clip.split} {clip.source}" == split][:most]
        rows[split] = {"network": score(clips, network, head)}
        for name in ("mean face", "loudness jaw", "linear mel"):
            rows[split][name] = score(clips, lambda clip: head.pose(baselines.units(name, clip)), head)
        rows[split]["the teacher"] = score(clips, lambda clip: head.pose(np.asarray(clip.units, np.float32)), head)
    for split, table in rows.items():
        click.echo(f"\n{split} ({table['network']['clips']} clips)")
        click.echo("| | vertex error mm | root LVE mm | opening correlation | closure recall | precision |")
        click.echo("|---|---|---|---|---|---|")
        for name, row in table.items():
            cells = [f"{row['vertex_error_mm']:.3f}", f"{row['root_lve_mm']:.2f}"]
            for key in ("opening_correlation", "closure_recall", "closure_precision"):
                cells.append("–" if row[key] is None else f"{row[key]:.2f}")
            click.echo(f"| {name} | {' | '.join(cells)} |")
    if out:
        out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
