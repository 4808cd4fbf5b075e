"""The bundled weights and the `wav2vec2-base` preset beside an autoregressive and a per-frame design, in one run.

The peers are of our own writing, at their published sizes and with random weights (`peer_networks.py`); each ends with
5023 vertices a frame in memory, and so do ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from peer_networks import FaceFormerDecoder, VocaDecoder, Wav2Vec2Base
from table import Row, best

from histalk_blender.audio.reading import RATE, normalise_level, read_audio
from histalk_blender.head.head import load_head
from histalk_blender.network import HiSTalk, load_checkpoint, wav2vec2_base
from histalk_blender.synthesis import WEIGHTS, synthesize

TITLE = "Peers: seconds for speech of 1, 10, 20 and 60 s"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"
LENGTHS = (1, 10, 20, 60)


@torch.inference_mode()
def rows() -> Iterator[Row]:
    """At each length: the peers' time over ours, whole and after the acoustic model."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours, ears, head = load_checkpoint(WEIGHTS, device), Wav2Vec2Base().eval().to(device), load_head()
    one_by_one, per_frame = FaceFormerDecoder().eval().to(device), VocaDecoder().eval().to(device)
    large = HiSTalk(wav2vec2_base(5023)).eval().to(device)
    speech = normalise_level(read_audio(SPEECH))
    for seconds in LENGTHS:
        sound = np.resize(speech, seconds * RATE)
        wave = torch.from_numpy(sound)[None].to(device)
        features = ears(wave)
        hearing = _time(lambda: ears(wave), seconds)
        decoding = _time(lambda: one_by_one(features).cpu(), seconds)
        framing = _time(lambda: per_frame(features).cpu(), seconds)
        whole = _time(
            lambda: synthesize(sound, ours, head, levels=False, device=device).motion.on(_flame(ours)).displacements(),
            seconds,
        )
        after = _after(ours, wave, "flame", seconds)
        large_whole = _time(lambda: large(wave).displacements.cpu(), seconds)
        large_after = _after(large, wave, "histalk", seconds)
        bar = ">= 20" if seconds == 20 else ""
        name = f"{seconds} s: autoregressive"
        yield Row(
            f"{name}, wav2vec2-base and decoder, to ours",
            (hearing + decoding) / whole,
            "x",
            bar,
            f"{hearing:.2f} + {decoding:.2f} s to {whole:.3f} s",
        )
        yield Row(
            f"{name}, decoder alone, to all of ours after the acoustic model",
            decoding / after,
            "x",
            bar,
            f"{decoding:.2f} s to {after:.4f} s",
        )
        yield Row(
            f"{name} to ours, `wav2vec2-base` preset",
            (hearing + decoding) / large_whole,
            "x",
            "",
            f"{hearing + decoding:.2f} s to {large_whole:.2f} s",
        )
        yield Row(
            f"{name}, decoder alone, to `wav2vec2-base` after wav2vec 2.0",
            decoding / large_after,
            "x",
            "",
            f"{decoding:.2f} s to {large_after:.3f} s",
        )
        yield Row(
            f"{seconds} s: per frame, with wav2vec2-base for DeepSpeech, to ours",
            (hearing + framing) / whole,
            "x",
            "",
            f"{hearing:.2f} + {framing:.3f} s to {whole:.3f} s",
        )
        yield Row(
            f"{seconds} s: per frame, decoder alone, to all of ours after the acoustic model",
            framing / after,
            "x",
            "",
            f"{framing:.3f} s to {after:.4f} s",
        )


def _time(work: Callable[[], object], seconds: int) -> float:
    """Seconds of the best of some runs, of long ones the first: the slowest peers need no second."""
    began = time.perf_counter()
    work()
    first = time.perf_counter() - began
    return first if first > 5 else min(first, best(work, 3))


def _flame(model: HiSTalk) -> np.ndarray:
    return model.outputs["flame"].basis.cpu().numpy()


def _after(model: HiSTalk, wave: torch.Tensor, topology: str, seconds: int) -> float:
    """All after the acoustic model, to every vertex of every frame."""
    features = model.encode(wave)

    def work() -> torch.Tensor:
        found = model.from_features(features)
        return model.outputs[topology](found.fine + found.coarse).cpu()

    return _time(work, seconds)
