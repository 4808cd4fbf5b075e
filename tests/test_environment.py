"""torch from a folder: what fits, and installs by the real pip with wheels made here, so without network."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from urllib.parse import quote, unquote

import numpy
import pytest

from histalk_blender.errors import HiSTalkError
from histalk_blender.runtime import installation, pytorch, survey
from histalk_blender.runtime.installation import Installation

ROOT = Path(__file__).parents[1]
COMPILED = f"torch/_C{EXTENSION_SUFFIXES[0]}"


def make_wheel(folder, name, version, *files, requires=""):
    info = f"{name}-{version}.dist-info"
    texts = dict.fromkeys(files, "") | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in texts.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*texts, f"{info}/RECORD"]))


def make_modules(place, torch="2.13.0", transformers="5.23.0", compiled=COMPILED):
    for name, version in {"torch": torch, "transformers": transformers}.items():
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").touch()
        info = place / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (place / compiled).touch()
    return place


@pytest.fixture
def bare(monkeypatch):
    """A Python like Blender's: numpy, and no torch on sys.path."""
    survey.invalidate()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path])
    yield
    survey.invalidate()


def make_index(wheels, home, monkeypatch):
    """All that pip can reach: three wheels, named and pinned like the real ones."""
    wheels.mkdir()
    make_wheel(wheels, "torch", "2.13.0+cpu", "torch/__init__.py", COMPILED)
    make_wheel(wheels, "transformers", "5.23.0", "transformers/__init__.py", requires="Requires-Dist: numpy\n")
    make_wheel(wheels, "numpy", numpy.__version__, "numpy/__init__.py", "numpy.libs/blas.so")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return wheels


@pytest.fixture
def index(tmp_path, monkeypatch):
    return make_index(tmp_path / "wheels", tmp_path / "home", monkeypatch)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "user" / "pytorch"


@pytest.fixture(scope="module")
def one_install(tmp_path_factory):
    """A folder that pip filled once, for tests of what comes after."""
    place = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path])
        make_index(place / "wheels", place / "home", patch)
        assert install(place / "pytorch").poll() == "done"
    return place / "pytorch"


@pytest.fixture
def installed(one_install, folder):
    return Path(shutil.copytree(one_install, folder))


def finish(job, seconds=240):
    end = time.monotonic() + seconds
    while job.poll() == "running":
        assert time.monotonic() < end, job.lines
        time.sleep(0.02)
    return job.poll()


def install(folder, build="CPU"):
    job = Installation(folder, build)
    job.start()
    finish(job)
    return job


def test_an_install_can_be_used_and_leaves_nothing_else(bare, index, folder, tmp_path):
    assert survey.missing_reason(folder, installed=True).startswith(
        "The Python package torch is not installed: press Install PyTorch"
    )
    job = install(folder)
    assert job.poll() == "done", list(job.lines)
    assert job.progress == 1 and any("Successfully installed" in line for line in job.lines)
    assert survey.missing_reason(folder, installed=True) == ""
    assert survey.versions(folder) == {"torch": "2.13.0+cpu", "transformers": "5.23.0"}
    record = survey.record(folder)
    assert record["build"] == "CPU" and record["versions"]["torch"] == "2.13.0+cpu" and record["bytes"] > 0
    assert [path.name for path in folder.parent.iterdir()] == ["pytorch"]
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {"wheels", "user"}
    assert not list(tmp_path.glob("home/.cache")) and not list(tmp_path.glob("home/.local"))


def test_blenders_numpy_keeps_winning(bare, index, folder, installed):
    assert not (folder / "numpy").exists() and not (folder / "numpy.libs").exists()
    assert (folder / f"numpy-{numpy.__version__}.dist-info").is_dir(), "transformers asks for its version at import"
    before = list(sys.path)
    pytorch.activate(folder)
    pytorch.activate(folder)
    assert sys.path == [*before, str(folder)]
    assert PathFinder.find_spec("torch").origin == str(folder / "torch" / "__init__.py")
    pytorch.deactivate(folder)
    assert sys.path == before


def test_a_torch_of_another_add_on_comes_first(bare, folder, tmp_path):
    other = make_modules(tmp_path / "other", torch="1.13.1")
    sys.path.append(str(other))
    assert f"{other} has torch 1.13.1, but HiSTalk needs 2.6 or later, below 3:" in survey.missing_reason(
        make_modules(folder)
    )


def test_pythons_own_pip_wheel_does_when_none_is_installed(bare, index, folder, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
    if not list(Path(find_spec("ensurepip").origin).parent.glob("_bundled/pip-*.whl")):
        pytest.skip("this Python ships no pip wheel")
    assert installation.find_pip().parent.suffix == ".whl"
    job = install(folder)
    assert job.poll() == "done", list(job.lines)


def test_no_pip_at_all_is_said_at_once(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HiSTalkError, match="has no pip: choose an existing environment"):
        Installation(folder).start()


LEFTOVERS = ["pytorch.part/torch.py", "pytorch/torch.py", "pytorch.cache/http"]


@pytest.mark.parametrize("left", [*([one] for one in LEFTOVERS), LEFTOVERS])
def test_a_half_finished_install_is_noticed(bare, index, folder, left):
    for path in (folder.parent / one for one in left):
        path.parent.mkdir(parents=True)
        path.touch()
    assert "was interrupted: press Install PyTorch" in survey.missing_reason(folder, installed=True)
    if left != LEFTOVERS:
        return
    assert install(folder).poll() == "done"
    assert survey.missing_reason(folder, installed=True) == ""
    assert not any((folder.parent / one).exists() for one in LEFTOVERS)
    assert [path.name for path in folder.parent.iterdir()] == ["pytorch"]


def test_without_its_marker_a_folder_does_not_count(bare, index, folder, installed):
    (folder / survey.MARKER).unlink()
    assert "was interrupted" in survey.missing_reason(folder, installed=True)


def test_installing_again_replaces_the_old_folder(bare, index, folder, installed):
    (folder / "stale.py").touch()
    assert install(folder).poll() == "done"
    assert not (folder / "stale.py").exists()


def test_a_failed_install_says_why_and_keeps_the_old_folder(bare, index, folder, installed):
    (index / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    job = install(folder)
    assert job.poll() == "failed"
    assert "No matching distribution found for torch==2.13.0+cpu" in job.message and "\n" not in job.message
    assert survey.missing_reason(folder, installed=True) == "" and not folder.with_name("pytorch.part").exists()


def test_cancel_kills_pip_within_half_a_second(bare, index, folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        job = Installation(folder, "PIP")
        job.start()
        silent.settimeout(30)
        silent.accept()  # pip is waiting for its answer now
        process = job._process
        began = time.monotonic()
        job.cancel(wait=1)
        assert time.monotonic() - began < 0.5
    assert job.poll() == "cancelled" and "to resume it" in job.message
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not folder.with_name("pytorch.part").exists()


class Index(BaseHTTPRequestHandler):
    """A package index over HTTP whose files may be cached, as PyPI's; one wheel may keep pip waiting."""

    stall = ""
    stalled = Event()

    def do_GET(self):
        path = Path(unquote(self.path))
        if path.suffix == ".whl":
            if self.stall and path.name.startswith(self.stall):
                self.stalled.set()
                return
            body = (self.server.wheels / path.name).read_bytes()
        else:
            names = [wheel.name for wheel in self.server.wheels.glob(f"{path.name}-*")]
            body = "".join(f'<a href="/files/{quote(name)}">{name}</a>' for name in names).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if path.suffix == ".whl" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=1000")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Quiet."""


def test_a_cancelled_install_goes_on_with_what_it_has(bare, index, folder, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        server.wheels = index
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        monkeypatch.setenv("PIP_TRUSTED_HOST", f"127.0.0.1:{server.server_port}")  # else pip caches https only
        monkeypatch.setenv("PIP_RETRIES", "9")
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(Index, "stall", "transformers")
        job = Installation(folder, "PIP")
        job.start()
        assert Index.stalled.wait(120), list(job.lines)
        job.cancel(wait=5)
        assert "was interrupted" in survey.missing_reason(folder, installed=True)
        monkeypatch.setattr(Index, "stall", "")
        again = install(folder, "PIP")
        server.shutdown()
    assert again.poll() == "done", list(again.lines)
    assert any(line.startswith("Using cached") and "/torch-2.13.0" in line for line in again.lines), list(again.lines)


def test_a_full_disk_is_said_before_anything_starts(folder, monkeypatch):
    usage = namedtuple("usage", "total used free")(0, 0, int(1.5e9))
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(HiSTalkError, match=r"PyTorch needs 10 GB, but .* has 1\.5 GB: make room"):
        Installation(folder, "CUDA").start()


def test_remove_takes_all_of_it_away(bare, index, folder, installed):
    pytorch.activate(folder)
    folder.with_name("pytorch.cache").mkdir()
    installation.remove(folder)
    assert not list(folder.parent.iterdir()) and str(folder) not in sys.path
    assert "torch is not installed" in survey.missing_reason(folder, installed=True)


def test_what_is_in_use_is_not_removed(folder, monkeypatch):
    make_modules(folder)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__file__=str(folder / "torch" / "__init__.py")))
    for act in (installation.remove, lambda folder: Installation(folder).start()):
        with pytest.raises(HiSTalkError, match="in use: restart Blender"):
            act(folder)
    assert folder.is_dir()


@pytest.mark.parametrize(
    "build, platform, index, torch",
    [
        ("CPU", "linux", "https://download.pytorch.org/whl/cpu", "torch==2.13.0+cpu"),
        ("CUDA", "win32", "https://download.pytorch.org/whl/cu130", "torch==2.13.0+cu130"),
        ("CPU", "darwin", "", "torch==2.13.0"),
        ("PIP", "linux", "", "torch==2.13.0"),
    ],
)
def test_the_build_decides_tag_and_index(build, platform, index, torch):
    expected = ["--extra-index-url", index] if index else []
    pinned = [torch, "transformers==5.23.0", f"numpy=={numpy.__version__}"]
    assert installation.requirements(build, platform) == expected + pinned


@pytest.mark.parametrize("inside", ["", "lib/python{}.{}/site-packages", "Lib/site-packages"])
def test_a_virtual_environment_or_its_modules_may_be_named(tmp_path, inside):
    place = make_modules(tmp_path / "venv" / inside.format(*sys.version_info))
    assert survey.site_packages(tmp_path / "venv") == place
    assert survey.unfit_reason(tmp_path / "venv") == ""


def test_the_environment_that_runs_this_fits():
    spec = find_spec("torch")
    if spec is None:
        pytest.skip("this Python has no torch")
    assert survey.unfit_reason(Path(spec.origin).parents[1]) == "" == survey.missing_reason()


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"compiled": "torch/_C.cpython-39-darwin.so"}, "was built for Python 3.9, but this is Python 3"),
        ({"compiled": "torch/_C.cp27-win_amd64.pyd"}, "was built for Python 2.7, but this is Python 3"),
        ({"compiled": f"torch/_C.cpython-3{sys.version_info.minor}-other.so"}, "was not built for this system"),
        ({"torch": "2.5.1"}, "has torch 2.5.1, but"),
        ({"transformers": "5.14.0"}, "needs 5.16 or later, below 6: choose another environment"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(tmp_path, change, sentence):
    unfit = survey.unfit_reason(make_modules(tmp_path / "place", **change))
    assert sentence in unfit and unfit.endswith(".") and "\n" not in unfit


def test_a_folder_without_torch_is_told_from_none(tmp_path):
    assert survey.unfit_reason(tmp_path).startswith(f"The Python package torch is not installed in {tmp_path}:")
    assert survey.unfit_reason(tmp_path / "none").startswith(f"The folder {tmp_path / 'none'} does not exist:")


def test_a_folder_that_changes_is_looked_at_again(bare, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    assert survey.missing_reason(place)
    make_modules(place)
    assert survey.missing_reason(place) == ""


def test_asking_imports_neither():
    code = "import sys; from histalk_blender.runtime import survey; survey.missing_reason(); survey.versions(); "
    code += "print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.skipif(
    os.environ.get("HISTALK_TEST_INSTALL") != "1", reason="downloads torch; set HISTALK_TEST_INSTALL=1 to run it"
)
def test_the_real_thing_imports_from_its_folder(folder):
    job = Installation(folder, "PIP")
    job.start()
    assert finish(job, 1500) == "done", list(job.lines)
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import json, numpy, torch, transformers; "
    code += "print(json.dumps([m.__file__ for m in (numpy, torch, transformers)]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    origins = [Path(path) for path in json.loads(done.stdout)]
    assert [origin.is_relative_to(folder) for origin in origins] == [False, True, True]
    shutil.rmtree(folder)
