"""A folder from anywhere holds modules named as those that we import: none of them runs, in no process of ours."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender.runtime import processes

NAMES = (
    "signal",
    "json",
    "random",
    "types",
    "runpy",
    "ctypes",
    "threading",
    "sitecustomize",
    "usercustomize",
    "numpy",
    "torch",
    "soundfile",
    "click",
    "bpy",
    "pip",
    "histalk_blender",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that we work in, whose modules tell when one of them runs."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\n")
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\necho nvidia-smi >> '{tmp_path / 'ran'}'\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}.{os.pathsep}{folder}")
    monkeypatch.setenv("PYTHONSTARTUP", "signal.py")
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", os.environ["PATH"]]))
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def ran(folder):
    path = folder.parent / "ran"
    return path.read_text() if path.exists() else ""


@pytest.mark.skipif(find_spec("torch") is None, reason="no torch for this Python here")
def test_workers_run_no_code_from_the_folder_of_recordings(folder):
    samples, rate = sf.read(SPEECH)
    for i in range(2):
        sf.write(folder / f"line {i}.wav", samples[i * rate : (i + 1) * rate], rate)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    paths = [path for path in sys.path if os.path.isabs(path) and path != str(folder)]
    code = f"import sys; sys.path[:] = {paths!r}; from histalk_blender.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", code, "batch", ".", "--out", "../out", "--workers", "2", "--device", "cpu"]
    done = subprocess.run(command, env=env | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "2 done, 0 failed" in done.stdout, done.stderr
    assert ran(folder) == "" and len(list((folder.parent / "out").glob("*.pc2"))) == 2


def test_a_child_imports_from_its_parents_paths_and_not_from_the_folder(folder, tmp_path, monkeypatch):
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "of_a_path_entry.py").write_text("")
    monkeypatch.syspath_prepend(str(ours))
    script = tmp_path / "script.py"
    script.write_text(f"import {', '.join(NAMES[:6])}, os, sys, of_a_path_entry\nprint(os.getcwd(), sys.path)\n")
    done = processes.run(processes.script_command(script), timeout=60, text=True)
    assert done.returncode == 0 and ran(folder) == "", done.stderr
    assert str(folder) not in done.stdout and "''" not in done.stdout
    done = processes.run(processes.module_command("errors"), timeout=60, text=True)
    assert done.returncode == 0 and ran(folder) == "", done.stderr


def test_the_render_check_runs_no_code_from_the_folder(folder):
    from histalk_blender.bake import film

    film.workbench_renders.cache_clear()
    film.workbench_renders()
    film.workbench_renders.cache_clear()
    assert ran(folder) == ""


def test_programs_are_not_searched_in_the_folder(folder, monkeypatch):
    found = processes.find_tool("sh")
    assert found and os.path.isabs(found) and processes.find_tool("nvidia-smi") != str(folder / "nvidia-smi")
    monkeypatch.setenv("PATH", os.pathsep.join(["", "."]))
    assert processes.find_tool("nvidia-smi") is None
    with pytest.raises(FileNotFoundError, match="nvidia-smi is not installed"):
        processes.run_tool("nvidia-smi")
    assert ran(folder) == ""
