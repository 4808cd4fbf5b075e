"""A frozen extractor's features of a corpus: computed once, kept as memory-mapped half-precision files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...audio import SAMPLE_RATE
from ...audio.loudness import normalise_loudness
from ...errors import HiSTalkError
from ...files import atomic_open
from ...network import load_checkpoint
from ..arrays import read_npy
from ..corpus.clips import Clip
from ..examples.augment import augment

CHUNK = 500  # clips of a file: what a kill costs is less than a minute


@dataclass(frozen=True)
class Features:
    """The features of a list of clips, by the clip's place in it."""

    parts: list[np.ndarray]  # [tokens of CHUNK clips, width] float16, memory maps
    starts: list[int]  # where each clip begins in its part
    tokens: list[int]  # of each clip

    def __getitem__(self, clip: int) -> np.ndarray:
        """[M, width] float16 at the hop of the extractor."""
        return self.parts[clip // CHUNK][self.starts[clip] : self.starts[clip] + self.tokens[clip]]


class FrozenExtractor:
    """The acoustic extractor of a checkpoint, and the folder that keeps its features.

    Files are named after the checkpoint's and the clips' digests, so other weights or a rebuilt corpus never meet them.
    """

    def __init__(self, weights: Path, folder: Path, device: str = "cpu"):
        """Raises:
        HiSTalkError: no checkpoint is there.
        """
        model = load_checkpoint(weights, device)
        self.config, self.extractor, self.device = model.config, model.acoustic, device
        self.digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
        self.folder = folder / self.digest[:16]

    def encode(self, samples: np.ndarray) -> torch.Tensor:
        """[N] float32, level-normalised -> [1, M, width]."""
        wave = torch.from_numpy(samples)[None].to(self.device)
        with torch.inference_mode():
            return self.extractor(wave, torch.tensor([len(samples)], device=self.device))[0]

    def features(self, name: str, clips: list[Clip], copy: int = 0) -> Features:
        """A list's features, from the folder as far as they lie there.

        Args:
            name: of the list, for the files.
            copy: 0 = each clip as it is; 1, 2 ... = augmented; the number and the clip's place are the seed.

        Raises:
            HiSTalkError: a file cannot be written, or one that lies there is damaged.
        """
        listed = "\n".join(f"{clip.source} {clip.id} {len(clip.samples)}" for clip in clips)
        stem = f"{name}-{hashlib.sha256(listed.encode()).hexdigest()[:8]}-{copy}"
        paths = [self.folder / f"{stem}-{first:06}.f16.npy" for first in range(0, len(clips), CHUNK)]
        tokens = [self.config.tokens(len(clip.samples)) for clip in clips]
        missing = [i for i, path in enumerate(paths) if not path.exists()]
        if missing:
            size = 2 * self.config.acoustic_width * sum(tokens) / 1e9
            print(f"Features of {len(clips)} clips ({name}, copy {copy}): {size:.2f} GB in '{self.folder}'", flush=True)
        total = sum(len(clips[i * CHUNK : (i + 1) * CHUNK]) for i in missing)
        with tqdm(total=total, desc=f"encode {name}", unit="clip", leave=False, disable=None) as bar:
            for i in missing:
                encoded = []
                for place in range(i * CHUNK, min(len(clips), (i + 1) * CHUNK)):
                    encoded.append(self.encode(_sound(clips[place], place, copy))[0].half().cpu().numpy())
                    bar.update()
                _write(paths[i], np.concatenate(encoded))
        parts = [read_npy(path) for path in paths]
        for i, (part, path) in enumerate(zip(parts, paths)):
            wanted = sum(tokens[i * CHUNK : (i + 1) * CHUNK]), self.config.acoustic_width
            if part.dtype != np.float16 or part.shape != wanted:
                raise HiSTalkError(f"'{path}' holds no features of these clips: delete it, and it is made again.")
        starts = [start for i in range(len(paths)) for start in _starts(tokens[i * CHUNK : (i + 1) * CHUNK])]
        return Features(parts, starts, tokens)


def _sound(clip: Clip, place: int, copy: int) -> np.ndarray:
    """The sound as synthesis takes it; pieces of clips are never joined."""
    samples = normalise_loudness(np.asarray(clip.samples, np.float32) / 32768)
    return augment(samples, SAMPLE_RATE, np.random.default_rng([copy, place])) if copy else samples


def _starts(tokens: list[int]) -> list[int]:
    return [0, *np.cumsum(tokens[:-1]).tolist()]


def _write(path: Path, array: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_open(path) as file:
            np.save(file, array)
    except OSError as error:
        raise HiSTalkError(
            f"'{path}' cannot be written ({error.strerror}): make room, or name another --out."
        ) from error
