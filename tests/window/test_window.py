"""The panel in a real window, looked at: HISTALK_WINDOW names the room that make_chroot.sh has made for it.

Pictures go to the folder HISTALK_PICTURES where it is set.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STOPS = (
    "nothing-selected",
    "no-pytorch",
    "ready",
    "listening",
    "baked",
    "restyled",
    "slider-stops",
    "asked",
    "sequencer",
    "preferences",
)


@pytest.mark.window
def test_an_animator_walks_through_a_real_window(tmp_path):
    if "HISTALK_WINDOW" not in os.environ:
        pytest.skip("needs a Blender with a screen: tests/window/make_chroot.sh FOLDER, then HISTALK_WINDOW=FOLDER")
    chroot = Path(os.environ["HISTALK_WINDOW"])
    assert (chroot / "usr/bin/blender").exists(), f"no Blender in '{chroot}'"
    room = chroot / "histalk"
    shutil.rmtree(room, ignore_errors=True)
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in files:
        target = room / "project" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    extension = room / "user/extensions/user_default/histalk_blender"
    shutil.copytree(room / "project", extension)
    (room / "out").mkdir()
    command = (
        "cd /histalk && BLENDER_USER_RESOURCES=/histalk/user LIBGL_ALWAYS_SOFTWARE=1 "
        "xvfb-run -a -s '-screen 0 1600x1100x24 +extension GLX' blender --factory-startup --no-window-focus -noaudio "
        "--window-geometry 0 0 1600 1100 --python project/tests/window/walk.py -- /histalk/project /histalk/out"
    )
    done = subprocess.run(["chroot", chroot, "bash", "-c", command], capture_output=True, text=True, timeout=300)
    assert "walked to the end" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    for stop in STOPS:
        assert (room / "out" / f"{stop}.png").stat().st_size > 20_000, f"{stop} is empty"
    if "HISTALK_PICTURES" in os.environ:
        for path in (room / "out").glob("*.png"):
            shutil.copy(path, os.environ["HISTALK_PICTURES"])
