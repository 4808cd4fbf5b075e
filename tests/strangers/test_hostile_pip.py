"""Install PyTorch under a hostile or unusual pip: it installs what we name where we name, or says that it did not."""

import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from test_environment import COMPILED, bare, folder, index, install, make_wheel  # noqa: F401

from histalk_blender.runtime import survey

ROOT = Path(__file__).parents[2]


def test_settings_that_send_packages_elsewhere_do_not_count(bare, index, folder, tmp_path, monkeypatch):
    loot = tmp_path / "loot"
    loot.mkdir()
    other = tmp_path / "python"
    other.write_text(f"#!/bin/sh\ntouch '{loot / 'ran'}'\n")
    other.chmod(0o755)
    config = tmp_path / "pip.conf"
    wanted = f"[global]\nfind-links = {index}\nno-index = true\n"
    unwanted = f"python = {other}\nreport = {loot / 'report'}\nlog = {loot / 'log'}\n[install]\ndry-run = true\n"
    config.write_text(wanted + unwanted)
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    hostile = {
        "PIP_DRY_RUN": "1",
        "PIP_PYTHON": other,
        "PIP_TARGET": loot / "target",
        "PIP_ROOT": loot / "root",
        "PIP_PREFIX": loot / "prefix",
        "PIP_REPORT": loot / "report",
        "PIP_LOG": loot / "log",
        "PIP_USER": "1",
        "PIP_CONSTRAINT": "/none",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PYTHONPATH": loot,
        "PIP_CACHE_DIR": loot / "cache",
        "PIP_SRC": loot,
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, str(value))
    job = install(folder)
    assert job.poll() == "done", list(job.lines)
    assert (folder / "torch" / "__init__.py").exists() and survey.missing_reason(folder, installed=True) == ""
    assert not list(loot.iterdir())


@pytest.mark.parametrize("flaw", ["raise ImportError('a library is missing')", "import os; os.abort()"])
def test_a_torch_that_cannot_be_imported_is_not_installed(bare, index, folder, flaw):

    (index / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    make_wheel(index, "torch", "2.13.0+cpu", COMPILED)
    with zipfile.ZipFile(index / "torch-2.13.0+cpu-py3-none-any.whl", "a") as wheel:
        wheel.writestr("torch/__init__.py", flaw)
    job = install(folder)
    assert job.poll() == "failed" and "does not work" in job.message and job.message.endswith("again.")
    assert "library is missing" in job.message or "abort" in flaw
    assert not folder.exists() and not list(folder.parent.iterdir())


HELD = """
import sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from histalk_blender.runtime.installation import Installation
job = Installation(Path(sys.argv[2]), "PIP")
job.start()
while job._process is None:
    time.sleep(0.02)
print(job._process.pid, flush=True)
time.sleep(60)
"""


def test_pip_ends_with_the_process_that_started_it(bare, folder, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        index_url = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        env = os.environ | {"PIP_INDEX_URL": index_url, "PIP_CONFIG_FILE": os.devnull}
        command = [sys.executable, "-c", HELD, str(ROOT), str(folder)]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as blender:
            pip = int(blender.stdout.readline())
            silent.settimeout(60)
            silent.accept()  # pip waits for an answer now
            os.kill(pip, 0)
            blender.send_signal(signal.SIGKILL)
        end = time.monotonic() + 5
        while Path(f"/proc/{pip}").exists() and "Z" not in Path(f"/proc/{pip}/stat").read_text().split(")")[1][:3]:
            assert time.monotonic() < end, "pip works on for nobody"
            time.sleep(0.05)
