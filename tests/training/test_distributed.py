"""Two processes, started by torchrun, step as one process does on the same batches, before a resumption and after."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from tiny import TINY, tiny_options

from histalk_blender.training import loop
from histalk_blender.training.distributed import process_group

# Dropout is each process's own.
CHANGES = (*TINY, ("acoustic_dropout", 0.0), ("hierarchy_dropout", 0.0), ("branch_dropout", 0.0))


def run(corpus, out):
    """Train for two steps, then for two more; of three rows a batch, so that the processes have unequal shares.

    Leaves the losses of each step in losses.json, and the state between in between.pt.
    """
    rows = []

    def keep(*arguments):
        parts = compute_losses(*arguments)
        rows.append({name: part.item() for name, part in parts.items()})
        return parts

    compute_losses = loop.compute_losses
    with mock.patch.object(loop, "compute_losses", keep):
        for steps in (2, 4):
            loop.train(tiny_options(corpus, out, steps, changes=CHANGES, batch_seconds=3.0))
            if steps == 2 and os.environ.get("RANK", "0") == "0":
                shutil.copy(out / "state.pt", out / "between.pt")
    (out / f"losses-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(rows))


def weights(path):
    return torch.cat([value.flatten() for value in torch.load(path, weights_only=True)["model"].values()])


@pytest.mark.slow
def test_two_processes_step_as_one(corpus, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, __file__, corpus, both]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
        run(corpus, alone)  # while the others start
        output, _ = started.communicate(timeout=240)
    assert started.returncode == 0, output
    wanted, *found = (
        json.loads((tmp_path / name).read_text())
        for name in ("alone/losses-0.json", "both/losses-0.json", "both/losses-1.json")
    )
    assert len(wanted) == 4 and all(part > 0 for part in wanted[0].values())
    for losses in found:
        torch.testing.assert_close(losses, wanted, rtol=1e-4, atol=0)
    learned = weights(alone / "state.pt") - weights(alone / "between.pt")
    astray = weights(both / "state.pt") - weights(alone / "state.pt")
    assert astray.norm() < 1e-3 * learned.norm()
    assert len((both / "log.jsonl").read_text().splitlines()) == 2, "one process logs"


if __name__ == "__main__":
    with process_group("cpu"):
        run(*map(Path, sys.argv[1:]))
