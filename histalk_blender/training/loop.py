"""The training loop: resumable, every loss logged, its length given in minutes."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..errors import HiSTalkError, shown
from ..files import atomic_open, open_regular
from ..head.flame import load_flame_map
from ..head.head import load_head
from ..network import HiSTalk, HiSTalkConfig, load_checkpoint, preset, save_checkpoint
from .datasets import DataSet
from .distributed import Crew, crew
from .examples.batches import Clip, SpeechBatches, load_clips
from .examples.captured import Captured
from .losses import LossWeights, MotionSpace, losses, principal_basis
from .pretraining.warm_start import contrast, follow, hear_bands
from .pretraining.whisper import read_encoder, take_over


@dataclass(frozen=True)
class TrainOptions:
    """What a training run needs to know."""

    corpus: Path
    out: Path
    build: Callable[..., HiSTalk] = HiSTalk  # what makes a network of a config
    changes: tuple[tuple[str, object], ...] = ()  # of the preset's config
    data: DataSet | None = None  # captured motion, to learn from in place of the corpus and its teacher
    minutes: float = 180.0  # of training in all, over every resumption
    steps: int = 0  # where to stop before the minutes are over; 0 = the minutes decide
    warm_minutes: float = 1.0
    lengths: tuple[float, ...] = (3.0, 4.0, 6.0, 12.0)  # seconds of a row; longer windows move the face alike
    seconds: float = 48.0  # of speech in a batch, of all processes together
    learning_rate: float = 1e-3
    seed: int = 0
    resume: bool = True
    save_minutes: float = 2.0
    workers: int = 1
    preset: str = "whisper-tiny"  # one of `network.PRESETS`
    init: Path | None = None  # a checkpoint to start from, instead of chance and the warm start
    hearing: Path | None = (
        None  # a checkpoint whose acoustic extractor is taken, or followed where it is of another kind
    )
    contrastive: bool = False  # `wav2vec2-small` starts by wav2vec 2.0's self-supervision in place of log-mel bands
    acoustic: str = (
        ""  # what `whisper-tiny` (a Whisper's folder) or `wav2vec2-base` (a wav2vec2-base) learn to hear from instead
    )
    acoustic_rate: float = 0.2  # share of the rate at which an extractor that hears already learns
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    half: bool = field(default_factory=torch.cuda.is_available)  # bfloat16 where it pays
    weights: LossWeights = LossWeights()

    @property
    def checkpoint(self) -> Path:
        """Where the half-precision checkpoint goes."""
        return self.out / f"histalk-{self.preset}.safetensors"

    def unfinished(self, elapsed: float, step: int) -> bool:
        """Whether a run of so many seconds and steps has further to go."""
        return elapsed < 60 * self.minutes and not 0 < self.steps <= step


def first_basis(head, clips: list[Clip], size: int, seed: int) -> torch.Tensor:
    """The output layer's start [size, V, 3]: what a thousand of the clips move."""
    random = np.random.default_rng(seed)
    chosen = random.choice(len(clips), min(len(clips), 1000), replace=False)
    samples = np.concatenate([np.asarray(clips[i].units, np.float32) for i in chosen])
    return principal_basis(torch.from_numpy(head.unit_deltas()), torch.from_numpy(samples), size)


def motion_space(head, basis: torch.Tensor) -> MotionSpace:
    """The head's `MotionSpace` on an output layer's basis; the mouth counts up to six times the scalp."""
    weights = torch.ones(len(head.vertices))
    for region, weight in (("mouth_area", 3.0), ("lips", 6.0), ("tongue", 2.0)):
        weights[torch.from_numpy(head.regions[region].astype(np.int64))] = weight

    def landmarks(points: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(head.landmarks(points.numpy()))

    neutral = torch.from_numpy(head.landmarks(head.vertices)).float()
    return MotionSpace.on(basis, torch.from_numpy(head.unit_deltas()), weights, landmarks, neutral)


class Taught:
    """The corpus with the teacher's motion, as a run learns it; `captured.Captured` offers the same."""

    notes: dict[str, str] = {}

    def __init__(self, corpus: Path):
        self.clips, self.head = load_clips(corpus, {"train"}), load_head()

    def config(self, name: str, acoustic: str) -> HiSTalkConfig:
        """The preset for the bundled head."""
        return preset(name, len(self.head.vertices), acoustic)

    def first_basis(self, size: int, seed: int) -> torch.Tensor:
        """The output layer's start [size, V, 3]."""
        return first_basis(self.head, self.clips, size, seed)

    def lesson(self, basis: torch.Tensor) -> tuple[MotionSpace, list[Clip]]:
        """Where losses live, and the clips whose `units` the space turns into components."""
        return motion_space(self.head, basis), self.clips

    def loss_weights(self, weights: LossWeights) -> LossWeights:
        """All that was asked for."""
        return weights


def train(options: TrainOptions) -> Path:
    """Train a preset on a corpus or on captured motion; a killed run goes on from its last state when called again.

    In processes that torchrun started, each trains on its rows of the same batches; the first one logs and saves.

    Returns:
        Path of the half-precision checkpoint.

    Raises:
        HiSTalkError: the corpus or the weights to start from are missing or do not fit, the folder holds a run of
            the other preset, or there are more processes than GPUs or rows of a batch.
    """
    with crew(options.device) as together:
        _train(replace(options, device=together.device), together)
    return options.checkpoint


def _train(options: TrainOptions, together: Crew) -> None:
    torch.manual_seed(options.seed)
    rows = max(1, round(options.seconds / max(options.lengths)))
    if rows < together.size:
        raise HiSTalkError(
            f"Batches have {rows} rows or more for {together.size} processes: give torchrun fewer, or --batch-seconds "
            f"{math.ceil(together.size * max(options.lengths))}."
        )
    # What cannot be heard with is told before the corpus is read, which takes minutes.
    if options.preset == "whisper-tiny" and options.acoustic:
        read_encoder(Path(options.acoustic))
    for weights in filter(None, (options.init, options.hearing)):
        load_checkpoint(weights)
    options.out.mkdir(parents=True, exist_ok=True)
    with together.in_turn():
        material = Captured(options.data) if options.data else Taught(options.corpus)
    config = replace(material.config(options.preset, options.acoustic), **dict(options.changes))
    weights = material.loss_weights(options.weights)
    model = options.build(config, pretrained_acoustic=bool(config.acoustic_source)).to(options.device)
    model = together.prepare(model)
    # The basis spans all that the teacher can show; moving it would only cost time.
    basis = model.outputs[config.topologies[0][0]].basis.requires_grad_(False)
    optimiser = torch.optim.AdamW(_groups(model, options), options.learning_rate, (0.9, 0.98), weight_decay=0.01)
    state_path = options.out / "state.pt"
    elapsed, step, heard = 0.0, 0, 0.0
    if options.resume and state_path.exists():
        state = read_state(state_path, options.device)
        try:
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
        except Exception as error:  # whatever another network's parts do not fit
            raise HiSTalkError(f"'{state_path}' is a run of another network: name another --out.") from error
        elapsed, step, heard = state["elapsed"], state["step"], state["heard"]
    elif options.init:
        _start_from(model, options.init)
    else:
        basis.data.copy_(material.first_basis(config.dense_components, options.seed))
    space, clips = material.lesson(basis.detach().cpu())
    space = space.to(options.device)
    batches = DataLoader(
        SpeechBatches(clips, options.lengths, options.seconds, config.fps, options.seed + step),
        batch_size=None,
        num_workers=options.workers,
        prefetch_factor=4 if options.workers else None,
    )
    loader = iter(batches)
    model.train()
    if step == 0 and not options.init and together.leads:
        _teach_to_hear(model, options, loader)
    if together.size > 1:
        together.align(model, options.seed)
        loader = iter(batches)  # all at the same batch again
    log = (options.out / "log.jsonl" if together.leads else Path(os.devnull)).open("a")
    running: dict[str, float] = {}
    began, saved = time.monotonic() - elapsed, time.monotonic()
    quiet = None if together.leads else True
    bar = tqdm(total=round(options.minutes * 60), initial=round(elapsed), unit="s", mininterval=5, disable=quiet)
    try:
        going = options.unfinished(elapsed, step)
        while going:
            rate = options.learning_rate * _schedule(elapsed / (options.minutes * 60), step)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["share"]
            wave, units, phones, sure = (part.to(options.device) for part in next(loader))
            with torch.autocast(torch.device(options.device).type, torch.bfloat16, enabled=options.half):
                out = model.components(together.own(wave)).float()
            parts = losses(together.whole(out, len(wave)), units, phones, space, weights, sure)
            total = sum(parts.values())
            optimiser.zero_grad()
            total.backward()
            together.sum_gradients(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if math.isfinite(total.item()):
                optimiser.step()
            step += 1
            heard += wave.numel() / config.sample_rate
            for name, value in parts.items():
                running[name] = 0.98 * running.get(name, value.item()) + 0.02 * value.item()
            before, elapsed = elapsed, together.told(time.monotonic() - began)
            bar.update(round(elapsed) - round(before))
            going = options.unfinished(elapsed, step)
            if step % 20 == 0 or not going:
                row = {"step": step, "minutes": elapsed / 60, "hours_heard": heard / 3600, "lr": rate, **running}
                log.write(json.dumps({k: round(v, 5) for k, v in row.items()}) + "\n")
                log.flush()
                bar.set_postfix({k: f"{v:.3f}" for k, v in running.items()}, refresh=False)
            if together.leads and time.monotonic() - saved > 60 * options.save_minutes:
                _save(model, optimiser, options, elapsed, step, heard, material.notes)
                saved = time.monotonic()
    finally:
        bar.close()
        log.close()
        if together.leads:
            _save(model, optimiser, options, elapsed, step, heard, material.notes)


def read_state(path: Path, device: str) -> dict:
    """What `_save` wrote, to go on from.

    Raises:
        HiSTalkError: it cannot be read, or is no whole state of a run.
    """
    try:
        with open_regular(path) as file:
            state = torch.load(file, weights_only=True, map_location=device)
        if not all(isinstance(state[name], dict) for name in ("model", "optimiser")):
            raise ValueError("its network is no table")
        if not all(
            type(state[name]) in (int, float) and 0 <= state[name] < 1e12 for name in ("elapsed", "step", "heard")
        ):
            raise ValueError("its time or its steps are no numbers")
        if not all(value.isfinite().all() for value in state["model"].values()):
            raise ValueError("its network holds NaN or infinities")
    except Exception as error:
        raise HiSTalkError(
            f"'{path}' is no state of a run ({shown(error)}): begin anew with --fresh, or name another --out."
        ) from error
    return state


def _groups(model: HiSTalk, options: TrainOptions) -> list[dict]:
    """What is trained, and at which share of the learning rate."""
    given = options.acoustic or options.hearing or options.init
    hears = bool(model.config.acoustic_source or (model.config.acoustic == "whisper" and given))
    parts: tuple[list, list] = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parts[name.startswith("acoustic.")].append(parameter)
    shares = 1.0, options.acoustic_rate if hears else 1.0
    return [{"params": part, "share": share} for part, share in zip(parts, shares)]


def _teach_to_hear(model: HiSTalk, options: TrainOptions, loader) -> None:
    """Give the acoustic extractor its start: what the preset can take over, or a warm start."""
    config, minutes, rate = model.config, options.warm_minutes, options.learning_rate
    waves = (wave for wave, *_ in loader)
    if config.acoustic == "whisper" and options.acoustic:
        error = take_over(model.acoustic, Path(options.acoustic), waves, minutes)
        told = f"Whisper's features: error {error:.2f} of the variance"
    elif options.hearing:
        leader = load_checkpoint(options.hearing).acoustic
        if config.acoustic == leader.config.acoustic == "whisper":
            model.acoustic.load_state_dict(leader.state_dict())
            return
        error = follow(model.acoustic, leader, waves, minutes, rate)
        told = f"features of '{options.hearing}': error {error:.2f} of the variance"
    elif config.acoustic_source or config.acoustic != "wav2vec2" or not minutes:
        return
    elif options.contrastive:
        error = contrast(model.acoustic, waves, minutes, rate)
        told = f"masked tokens: error {error:.2f} of guessing"
    else:
        error = hear_bands(model.acoustic, waves, minutes)
        told = f"log-mel bands: error {error:.2f} of the variance"
    print(told, flush=True)


def _start_from(model: HiSTalk, path: Path) -> None:
    """Take over a checkpoint's weights, its basis included, so that its phones and motion are not unlearnt."""
    given = load_checkpoint(path).state_dict()
    own = model.state_dict()
    if any(name not in given or given[name].shape != value.shape for name, value in own.items()):
        raise HiSTalkError(f"'{path}' is of another network or another head: leave --init out.")
    model.load_state_dict({name: given[name] for name in own})


def _schedule(progress: float, step: int) -> float:
    return min(1.0, (step + 1) / 200) * max(0.005, 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress)))


def _save(model, optimiser, options: TrainOptions, elapsed: float, step: int, heard: float, notes: dict) -> None:
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "elapsed": elapsed,
        "step": step,
        "heard": heard,
    }
    with atomic_open(options.out / "state.pt") as file:
        torch.save(state, file)
    notes = notes | {"steps": str(step), "hours_heard": f"{heard / 3600:.2f}", "minutes": f"{elapsed / 60:.1f}"}
    export = copy.deepcopy(model)
    if "histalk" in export.outputs:
        set_flame_output(export)
    save_checkpoint(export, options.checkpoint, notes=notes)


def set_flame_output(model: HiSTalk) -> None:
    """FLAME's output layer: the bundled head's mixes of units, as the map solved the units on FLAME."""
    basis = model.outputs["histalk"].basis.detach().float().cpu().numpy()
    model.set_output("flame", torch.from_numpy(load_flame_map().move(basis)).float())
