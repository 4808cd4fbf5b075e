"""The bundled weights and the `wav2vec2-base` preset beside an autoregressive and a per-frame design, in one run.

The peers are written anew at their published sizes, with random weights (`peer_networks.py`). Each ends with 5023
vertices a frame in memory, and so do ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from peer_networks import FaceFormerDecoder, VocaDecoder, Wav2Vec2Base
from table import Row, best

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.audio.clip import read_audio
from histalk_blender.audio.loudness import normalise_loudness
from histalk_blender.head.head import load_head
from histalk_blender.network import HiSTalk, load_checkpoint, wav2vec2_base
from histalk_blender.synthesis import WEIGHTS, synthesize

TITLE = "Peers: seconds for speech of 1, 10, 20 and 60 s"
SPEECH = Path(__file__).parents[1] / "tests/data/speech.flac"
LENGTHS = (1, 10, 20, 60)


@torch.inference_mode()
def rows() -> Iterator[Row]:
    """At each length: the peers' time over ours, whole and after the acoustic extractor."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours, large = load_checkpoint(WEIGHTS, device), HiSTalk(wav2vec2_base(5023)).eval().to(device)
    peers = [peer().eval().to(device) for peer in (Wav2Vec2Base, FaceFormerDecoder, VocaDecoder)]
    speech = normalise_loudness(read_audio(SPEECH))
    for seconds in LENGTHS:
        yield from _rows_of(np.resize(speech, seconds * SAMPLE_RATE), ours, large, *peers)


def _rows_of(sound: np.ndarray, ours: HiSTalk, large: HiSTalk, encoder, autoregressive, per_frame) -> Iterator[Row]:
    device, seconds, head = next(ours.parameters()).device, len(sound) // SAMPLE_RATE, load_head()
    wave = torch.from_numpy(sound)[None].to(device)
    features, flame = encoder(wave), ours.outputs["flame"].basis.cpu().numpy()

    def synthesis() -> np.ndarray:
        return synthesize(sound, ours, head, levels=False, device=device).motion.on(flame).displacements()

    encoding = _time(lambda: encoder(wave))
    decoding = _time(lambda: autoregressive(features).cpu())
    framing = _time(lambda: per_frame(features).cpu())
    whole, after = _time(synthesis), _after(ours, wave, "flame")
    large_whole, large_after = _time(lambda: large(wave).displacements.cpu()), _after(large, wave, "histalk")
    bar = ">= 20" if seconds == 20 else ""
    both, name = encoding + decoding, f"{seconds} s: autoregressive"
    yield Row(
        f"{name}, wav2vec2-base and decoder, to ours",
        both / whole,
        "x",
        bar,
        f"{encoding:.2f} + {decoding:.2f} s to {whole:.3f} s",
    )
    yield Row(
        f"{name}, decoder alone, to all of ours after the acoustic extractor",
        decoding / after,
        "x",
        bar,
        f"{decoding:.2f} s to {after:.4f} s",
    )
    yield Row(
        f"{name} to ours, `wav2vec2-base` preset", both / large_whole, "x", "", f"{both:.2f} s to {large_whole:.2f} s"
    )
    yield Row(
        f"{name}, decoder alone, to `wav2vec2-base` after wav2vec 2.0",
        decoding / large_after,
        "x",
        "",
        f"{decoding:.2f} s to {large_after:.3f} s",
    )
    name = f"{seconds} s: per frame"
    yield Row(
        f"{name}, with wav2vec2-base for DeepSpeech, to ours",
        (encoding + framing) / whole,
        "x",
        "",
        f"{encoding:.2f} + {framing:.3f} s to {whole:.3f} s",
    )
    yield Row(
        f"{name}, decoder alone, to all of ours after the acoustic extractor",
        framing / after,
        "x",
        "",
        f"{framing:.3f} s to {after:.4f} s",
    )


def _time(work: Callable[[], object]) -> float:
    """Seconds of the best of some runs; of long ones the first, as the slowest peers need no second."""
    began = time.perf_counter()
    work()
    first = time.perf_counter() - began
    return first if first > 5 else min(first, best(work, 3))


def _after(model: HiSTalk, wave: torch.Tensor, topology: str) -> float:
    """Everything after the acoustic extractor, to every vertex of every frame."""
    features = model.encode(wave)

    def work() -> torch.Tensor:
        found = model.from_features(features)
        return model.outputs[topology](found.fine + found.coarse).cpu()

    return _time(work)
