"""The panel in a real window, looked at: pictures go to the folder HISTALK_PICTURES where it is set.

make_chroot.sh beside this file makes the room it needs.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHROOT = Path(os.environ.get("HISTALK_WINDOW", "/var/tmp/histalk-window"))
STOPS = ("nothing-selected", "no-pytorch", "ready", "listening", "baked", "restyled", "sequencer", "preferences")


def test_an_animator_walks_through_a_real_window(tmp_path):
    if not (CHROOT / "usr/bin/blender").exists():
        pytest.skip(f"no Blender in '{CHROOT}': tests/window/make_chroot.sh FOLDER, then HISTALK_WINDOW=FOLDER")
    room = CHROOT / "histalk"
    shutil.rmtree(room, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        target = room / "project" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    extension = room / "user/extensions/user_default/histalk_blender"
    shutil.copytree(room / "project", extension)
    manifest = extension / "blender_manifest.toml"
    manifest.write_text(manifest.read_text().replace("4.5.0", "4.3.0"))
    panel = extension / "histalk_blender/addon/panel.py"
    panel.write_text(panel.read_text().replace('"strips_all"', '"sequences_all"'))  # as 4.3 calls them
    site = room / "site"
    packages = next((ROOT / ".venv52/lib").glob("python3.13/site-packages"))
    for name in ("soundfile.py", "_soundfile_data", "_soundfile.py", "soxr", "cffi", "pycparser", "safetensors", "typing_extensions.py"):
        source = packages / name
        if source.is_dir():
            shutil.copytree(source, site / name)
        elif source.exists():
            site.mkdir(exist_ok=True)
            shutil.copy(source, site / name)
    for binary in packages.glob("_cffi_backend*.so"):
        shutil.copy(binary, site)
    (room / "out").mkdir()
    command = (
        "cd /histalk && BLENDER_USER_RESOURCES=/histalk/user LIBGL_ALWAYS_SOFTWARE=1 "
        "xvfb-run -a -s '-screen 0 1600x1100x24 +extension GLX' blender --factory-startup --no-window-focus -noaudio "
        "--window-geometry 0 0 1600 1100 --python project/tests/window/walk.py -- /histalk/project /histalk/site /histalk/out"
    )
    done = subprocess.run(["chroot", CHROOT, "bash", "-c", command], capture_output=True, text=True, timeout=300)
    assert "walked to the end" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    for stop in STOPS:
        assert (room / "out" / f"{stop}.png").stat().st_size > 20_000, f"{stop} is empty"
    if "HISTALK_PICTURES" in os.environ:
        for stop in STOPS:
            shutil.copy(room / "out" / f"{stop}.png", os.environ["HISTALK_PICTURES"])
