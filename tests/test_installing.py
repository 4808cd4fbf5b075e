"""The zip that animators get: what is in it, and its life in Blender from installing to uninstalling.

Each Blender runs this file again as a script in a process of its own (see `_main`): the user folder counts only when
it is set before bpy is imported.
"""

import io
import os
import re
import runpy
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
import types
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from assets import MOTION, SPEECH

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "build_extension.py"
WHEELS = ROOT / "build" / "wheels"
ID = "histalk_blender"
BLENDERS = {"4.5": Path(sys.executable), "5.2": ROOT / ".venv52" / "bin" / "python"}


@pytest.fixture(scope="session")
def tool():
    return runpy.run_path(str(TOOL))


def build(out: Path, tool: dict, *options: str) -> Path:
    """Build into `out` with the wheels that `make extension` left here, or without any: tests need no network."""
    wheels = WHEELS if tool["cached"](WHEELS) else "none"
    command = [sys.executable, TOOL, "--out", out, "--wheels", wheels, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout, done.stderr, f"wheels: {wheels}")
    return next(out.glob("*.zip"))


@pytest.fixture(scope="session")
def archive(tool, tmp_path_factory):
    return build(tmp_path_factory.mktemp("dist"), tool, "--repository")


@pytest.fixture(params=BLENDERS)
def blender(request, tmp_path):
    """Calls one of this file's functions inside a Blender with an empty user folder."""
    python = BLENDERS[request.param]
    if not python.exists():
        pytest.skip(f"Blender {request.param} is not here: {python} does not exist")

    def run(name: str, *arguments: object) -> None:
        command = [python, __file__, name, *map(str, arguments)]
        env = os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        said = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("PROGRESS"))
        assert done.returncode == 0, f"{said}\n{done.stderr}"
        print(said)

    return run


def test_the_zip_holds_what_runs_and_nothing_else(archive):
    names = set(zipfile.ZipFile(archive).namelist())
    needed = {"__init__.py", "blender_manifest.toml", "LICENSE", "LICENSES/wheels.txt", "model_weights/README.md"}
    needed |= {
        f"{ID}/data/{name}" for name in ("head.npz", "flame.npz", "histalk_dialogue.js", "report.html", "report.js")
    }
    needed |= {"model_weights/histalk-small.safetensors"}
    assert needed <= names
    allowed = re.compile(rf"{ID}/([a-z]\w*/)*\w+\.py|LICENSES/[\w.-]+\.txt|wheels/[\w.-]+\.whl")
    assert not {name for name in names - needed if not allowed.fullmatch(name)}
    assert not {name for name in names if "training" in name}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not {name for name in names if not name.startswith("wheels/")} - set(tracked)


def test_what_ships_does_without_what_does_not(archive):
    """The training code stays out, and `histalk` asks whether it is there before it offers its commands."""
    with zipfile.ZipFile(archive) as shipped:
        code = {name: shipped.read(name).decode() for name in shipped.namelist() if name.endswith(".py")}
    assert {name for name, text in code.items() if re.search(r"(from|import) .*\btraining\b", text)} <= {
        f"{ID}/cli/main.py"
    }


def test_blenders_tool_accepts_the_folder_and_the_zip(tool, archive):
    tool["blender_ext"]("validate", ROOT)
    tool["blender_ext"]("validate", archive)
    with zipfile.ZipFile(archive) as shipped:
        manifest = tomllib.loads(shipped.read("blender_manifest.toml").decode())
        wheels = {f"./{name}" for name in shipped.namelist() if name.endswith(".whl")}
    assert set(manifest.get("wheels", ())) == wheels
    assert manifest["platforms"] == tomllib.loads((ROOT / "blender_manifest.toml").read_text())["platforms"]
    for said in (manifest["tagline"], *manifest["permissions"].values()):
        assert len(said) <= 64 and not said.endswith(".")


def test_the_same_files_give_the_same_bytes(tool, archive, tmp_path):
    assert build(tmp_path, tool).read_bytes() == archive.read_bytes()


def test_every_wheel_has_its_notice(tool):
    notices = (ROOT / "LICENSES" / "wheels.txt").read_text()
    locked = re.findall(r"^(\w+)==(\S+)", tool["LOCK"].read_text(), re.MULTILINE)
    assert len(locked) > 3
    for name, version in locked:
        assert f"\n{name} {version} " in notices


def test_installed_used_reloaded_and_removed(blender, archive):
    blender("live", archive)


def test_installed_from_a_repository(blender, archive):
    blender("subscribe", archive.parent / "repository")


# From here on: inside Blender.


def use(bpy, module: str) -> None:
    """What an animator does with the installed extension: a head, a strip of real speech, Bake, a look, Remove."""
    import numpy as np

    motion, step = np.load(MOTION), 2  # at the scene's 60 frames a second
    scene = bpy.context.scene
    scene.render.fps = 30 * step
    assert bpy.ops.histalk.add_head() == {"FINISHED"}
    obj = bpy.context.active_object
    scene.sequence_editor_create().strips.new_sound("Line", str(SPEECH), 1, 1)
    preferences = bpy.context.preferences.addons[module].preferences
    preferences.source, preferences.folder = "FOLDER", sys.prefix
    if bpy.app.version >= (5, 0):  # its Python has no PyTorch here
        _stand_in_for_the_network(module, motion)
    assert bpy.ops.histalk.bake.poll(), "the button is grey"
    assert bpy.ops.histalk.bake() == {"FINISHED"} and "shape keys" in obj.histalk.report
    package = f"{module}.{ID}"
    head = sys.modules[f"{package}.head"].load_head()
    basis = _outputs(package)["histalk"]
    for frame in (30, 77, 120):
        scene.frame_set(1 + step * frame)
        mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        seen = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", seen)
        wanted = head.vertices + np.tensordot(motion[frame], basis, 1)
        assert np.linalg.norm(seen.reshape(-1, 3) - wanted, axis=1).max() < 2e-4, f"frame {frame}"
    assert bpy.ops.histalk.remove_bake() == {"FINISHED"} and obj.data.shape_keys is None
    bpy.data.objects.remove(obj)
    scene.sequence_editor_clear()


def call_commands(bpy, module: str) -> None:
    """`blender --command histalk ...`: what is in the zip works, and nothing else is offered."""

    def called(*arguments: str) -> tuple[int, str]:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = sys.modules[f"{module}.{ID}.addon.command"].run([*map(str, arguments)])
        return code, said.getvalue()

    code, said = called("--help")
    offered = re.findall(r"^  (\w+)  ", said.partition("Commands:")[2], re.MULTILINE)
    assert code == 0 and offered == ["bake", "batch", "synthesize"], said
    assert called("--version")[0] == 0
    for verb in ("train", "evaluate", "experiments"):
        code, said = called(verb, "--out", "x")
        assert code == 2 and f"No such command '{verb}'" in said and "Traceback" not in said, said
    with tempfile.TemporaryDirectory() as out:
        code, said = called("synthesize", SPEECH, Path(out, "a.npz"))
        assert code == 0 and Path(out, "a.npz").stat().st_size > 1e6, said
        code, said = called("batch", SPEECH.parent, "--out", out, "--dry-run")
        assert code == 0 and "1 clips would be made" in said, said


def _outputs(package: str) -> dict:
    import numpy as np
    from safetensors import safe_open

    with safe_open(sys.modules[f"{package}.synthesis"].WEIGHTS, "np") as file:
        return {name: file.get_tensor(f"outputs.{name}.basis").astype(np.float32) for name in ("histalk", "flame")}


def _stand_in_for_the_network(module: str, motion) -> None:
    """What the network made of the sentence, stored."""
    package = f"{module}.{ID}"
    loaded = {name: sys.modules[f"{package}.{name}"] for name in ("motion.motion", "synthesis")}
    outputs = _outputs(package)
    spoken = loaded["motion.motion"].Motion(motion, outputs["histalk"], 30.0)
    performance = loaded["synthesis"].Performance(spoken, outputs, *[None] * 3, "histalk")
    sys.modules[f"{package}.addon.bake_job"].perform_clip = lambda *_: performance
    environment = sys.modules[f"{package}.addon.environment"].Environment
    environment.blocking_reason, environment.activate = lambda self, context: "", lambda self, context: None


def live(bpy, archive: str) -> None:
    """Install, use, disable, enable, reload and uninstall, looking each time at what is left."""
    module = f"bl_ext.user_default.{ID}"
    installed = bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
    assert installed == {"FINISHED"}
    folder = Path(sys.modules[module].__file__).parent
    assert folder.is_relative_to(os.environ["BLENDER_USER_RESOURCES"])
    assert traces(bpy, module), "the search for traces finds nothing even when all is registered"
    site = _wheels_installed(archive)
    shipped = _listing(folder)
    use(bpy, module)
    if bpy.app.version < (5, 0):  # the later one's Python has no PyTorch here, and so no click
        call_commands(bpy, module)

    bpy.ops.preferences.addon_disable(module=module)
    assert_gone(bpy, module)
    start = time.perf_counter()
    bpy.ops.preferences.addon_enable(module=module)
    print(f"Blender {bpy.app.version_string}: enabled again in {(time.perf_counter() - start) * 1000:.0f} ms")
    assert bpy.ops.histalk.add_head() == {"FINISHED"}
    assert bpy.ops.script.reload() == {"FINISHED"}
    assert bpy.ops.histalk.add_head() == {"FINISHED"}

    assert _listing(folder) == shipped
    # An absolute import would find the project's own package here and nothing at all at an animator's.
    assert ID not in sys.modules
    assert not [path for path in sys.path if Path(path).is_relative_to(folder)]
    bpy.ops.preferences.addon_disable(module=module)
    assert_gone(bpy, module)
    repositories = [repo.module for repo in bpy.context.preferences.extensions.repos]
    bpy.ops.extensions.package_uninstall(repo_index=repositories.index("user_default"), pkg_id=ID)
    assert not folder.exists() and not (site and (site / "soundfile.py").exists())


def subscribe(bpy, repository: str) -> None:
    """Add the repository by its file:// address, install from it, use the extension."""
    preferences = bpy.context.preferences
    preferences.system.use_online_access = True  # Blender asks for it even where the address is a file's
    repositories = preferences.extensions.repos
    repositories.new(name="HiSTalk", module="histalk_test", remote_url=Path(repository).as_uri())
    index = [repo.module for repo in repositories].index("histalk_test")
    assert bpy.ops.extensions.repo_sync(repo_index=index) == {"FINISHED"}
    assert bpy.ops.extensions.package_install(repo_index=index, pkg_id=ID) == {"FINISHED"}
    module = f"bl_ext.histalk_test.{ID}"
    assert module in preferences.addons
    assert bpy.ops.histalk.add_head() == {"FINISHED"}
    assert bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id=ID) == {"FINISHED"}
    assert module not in preferences.addons
    assert_gone(bpy, module)


def traces(bpy, module: str) -> set[str]:
    """Everything that Blender holds of the extension: types, operators, properties, callbacks, shortcuts."""

    def ours(name: str) -> bool:
        return name.lower().startswith("histalk")

    def of_module(function) -> bool:
        return str(getattr(function, "__module__", "")).startswith(module)

    found = {name for name in dir(bpy.types) if ours(name)} | {f"ops.{name}" for name in dir(bpy.ops.histalk)}
    for name in dir(bpy.types):
        kind = getattr(bpy.types, name)
        if isinstance(kind, type) and hasattr(kind, "bl_rna"):
            found |= {f"{name}.{prop}" for prop in kind.bl_rna.properties.keys() if ours(prop)}
            menu = getattr(getattr(kind, "draw", None), "_draw_funcs", ())
            found |= {f"{name}.draw: {function.__name__}" for function in menu if of_module(function)}
    for name in dir(bpy.app.handlers):
        functions = getattr(bpy.app.handlers, name)
        if isinstance(functions, list):
            found |= {f"{name}: {function.__name__}" for function in functions if of_module(function)}
    for loaded in [loaded for name, loaded in sys.modules.items() if name.startswith(module)]:
        functions = [value for value in vars(loaded).values() if isinstance(value, types.FunctionType)]
        found |= {f"timer: {function.__name__}" for function in functions if bpy.app.timers.is_registered(function)}
    keys = bpy.context.window_manager.keyconfigs.addon
    for keymap in keys.keymaps if keys else ():
        found |= {f"{keymap.name}: {item.idname}" for item in keymap.keymap_items if ours(item.idname)}
    return found


def assert_gone(bpy, module: str) -> None:
    found = traces(bpy, module)
    assert not found, found


def _wheels_installed(archive: str) -> Path | None:
    """Blender's folder of wheels, once they have worked from there; None for a zip that holds none."""
    if not any(name.endswith(".whl") for name in zipfile.ZipFile(archive).namelist()):
        return None
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = Path(os.environ["BLENDER_USER_RESOURCES"], "extensions", ".local", "lib", python, "site-packages")
    code = f"""
import cffi, numpy, safetensors.numpy, soundfile, soxr, typing_extensions
samples, rate = soundfile.read({str(SPEECH)!r})
assert len(soxr.resample(samples, rate, 2 * rate)) == 2 * len(samples)
assert safetensors.numpy.load(safetensors.numpy.save({{"a": numpy.ones(3)}}))["a"].sum() == 3
for module in (cffi, safetensors, soundfile, soxr, typing_extensions):
    assert module.__file__.startswith({str(site)!r}), module
"""
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(site)}, check=True)
    return site


def _listing(folder: Path) -> set[tuple[str, int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    return {(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def _main() -> None:
    import bpy

    name, *arguments = sys.argv[1:]
    code = 1
    try:
        {"live": live, "subscribe": subscribe}[name](bpy, *arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Blender 4.5 as a module hangs at its exit after `script.reload`, with or without extensions.
    os._exit(code)


if __name__ == "__main__":
    _main()
