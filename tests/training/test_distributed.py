"""Two processes, started by torchrun, step as one process does on the same batches, before a resumption and after."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import torch

from histalk_blender.training import loop
from histalk_blender.training.distributed import crew

# Dropout is each process's own.
CHANGES = (("acoustic_dropout", 0.0), ("hierarchy_dropout", 0.0), ("branch_dropout", 0.0), ("acoustic_layers", 1))


def run(corpus, out):
    """Train for two steps, then for two more; of three rows a batch, so that the processes have unequal shares.

    Leaves the losses of each step in losses.json, and the state between in between.pt.
    """
    told = []

    def heard(*arguments):
        parts = losses(*arguments)
        told.append({name: part.item() for name, part in parts.items()})
        return parts

    losses = loop.losses
    with mock.patch.object(loop, "losses", heard):
        for steps in (2, 4):
            options = loop.TrainOptions(
                corpus,
                out,
                changes=CHANGES,
                steps=steps,
                warm_minutes=0,
                lengths=(2.0,),
                seconds=6.0,
                workers=0,
                device="cpu",
            )
            loop.train(options)
            if steps == 2 and os.environ.get("RANK", "0") == "0":
                shutil.copy(out / "state.pt", out / "between.pt")
    (out / f"losses-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(told))


def weights(path):
    return torch.cat([value.flatten() for value in torch.load(path, weights_only=True)["model"].values()])


def test_two_processes_step_as_one(corpus, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    run(corpus, alone)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, __file__, corpus, both], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    wanted, *found = (
        json.loads((tmp_path / name).read_text())
        for name in ("alone/losses-0.json", "both/losses-0.json", "both/losses-1.json")
    )
    assert len(wanted) == 4 and all(part > 0 for part in wanted[0].values())
    for steps in found:
        torch.testing.assert_close(steps, wanted, rtol=1e-4, atol=0)
    learned = weights(alone / "state.pt") - weights(alone / "between.pt")
    astray = weights(both / "state.pt") - weights(alone / "state.pt")
    assert astray.norm() < 1e-3 * learned.norm()
    assert len((both / "log.jsonl").read_text().splitlines()) == 2, "one process logs"


if __name__ == "__main__":
    with crew("cpu"):
        run(*map(Path, sys.argv[1:]))
