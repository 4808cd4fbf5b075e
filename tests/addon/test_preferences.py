"""The preferences in a real Blender of its own, headless, with the extension where Blender looks for one."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import bpy
import pytest
from test_environment import index, make_modules  # noqa: F401

from histalk_blender.addon import preferences
from histalk_blender.addon.environment import Environment
from histalk_blender.addon.session import close_session, open_session
from histalk_blender.runtime import survey

ROOT = Path(__file__).parents[2]
EXTENSION = "bl_ext.user_default.histalk_blender"

# Blender reads where its user folder is once, before the first import of bpy: hence a process of its own.
STORY = f"""
import bpy, importlib, json, sys

answers = {{}}
sys.path[:] = [sys.argv[3] if path.endswith("site-packages") else path for path in sys.path]
bpy.ops.preferences.addon_enable(module={EXTENSION!r})
module = importlib.import_module({EXTENSION + ".histalk_blender.addon.preferences"!r})
environment = module.get_session().environment
context = bpy.context
settings = module.preferences(context)


def ask(name):
    answers[name] = getattr(bpy.types, f"HISTALK_OT_{{name}}").disabled_reason(context)


answers["root"] = module.ROOT
answers["loaded"] = sorted({{"torch", "transformers"}} & set(sys.modules))
context.preferences.system.use_online_access = False
for name in ("install_pytorch", "cancel_install", "remove_pytorch", "open_preferences"):
    ask(name)
    assert getattr(bpy.ops.histalk, name).poll() == (not answers[name])
answers["before"] = environment.blocking_reason(context)
try:
    environment.activate(context)
except ValueError as error:
    answers["prepare"] = str(error)

context.preferences.system.use_online_access = True
answers["install"] = list(bpy.ops.histalk.install_pytorch())
answers["message"] = environment.installation.message
answers["after"] = environment.blocking_reason(context)
environment.activate(context)
answers["last path"] = sys.path[-1]
answers["folder"] = str(settings.place)
answers["imported"] = sorted({{"torch", "transformers"}} & set(sys.modules))
answers["remove"] = list(bpy.ops.histalk.remove_pytorch())
answers["there"] = settings.place.exists()
answers["removed"] = environment.blocking_reason(context)

settings.source = "FOLDER"
answers["none chosen"] = environment.blocking_reason(context)
settings.folder = sys.argv[1]
answers["chosen"] = environment.blocking_reason(context)
environment.activate(context)
answers["chosen path"] = sys.path[-1]
settings.folder = sys.argv[2]
answers["unfit"] = environment.blocking_reason(context)

bpy.ops.preferences.addon_disable(module={EXTENSION!r})
answers["left"] = [name for name in dir(bpy.types) if name.startswith("HISTALK_OT_") or name == "HiSTalkPreferences"]
answers["paths left"] = [path for path in sys.path if path in (answers["chosen path"], answers["last path"])]
print(json.dumps(answers))
"""

ENTRY = """
import bpy


def register():
    from .histalk_blender.addon import preferences, session

    session.open_session()
    for cls in preferences.CLASSES:
        bpy.utils.register_class(cls)


def unregister():
    from .histalk_blender.addon import preferences, session

    session.close_session()
    for cls in reversed(preferences.CLASSES):
        bpy.utils.unregister_class(cls)
"""


@pytest.fixture
def story(tmp_path, index):
    """The answers of `STORY`, with the folders it was told of."""
    extension = tmp_path / "resources" / "extensions" / "user_default" / "histalk_blender"
    extension.mkdir(parents=True)
    (extension / "__init__.py").write_text(ENTRY)
    shutil.copy(ROOT / "blender_manifest.toml", extension)
    (extension / "histalk_blender").symlink_to(ROOT / "histalk_blender")
    chosen = make_modules(tmp_path / "venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages")
    unfit = make_modules(tmp_path / "old", torch="1.13.1")
    no_torch = tmp_path / "no_torch"  # the modules of this Python without those in question
    no_torch.mkdir()
    for module in Path(sysconfig.get_path("purelib")).iterdir():
        if not module.name.startswith(("torch", "transformers")):
            (no_torch / module.name).symlink_to(module)
    done = subprocess.run(
        [sys.executable, "-c", STORY, str(tmp_path / "venv"), str(unfit), str(no_torch)],
        env=os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path / "resources")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"user": str(tmp_path / "resources"), "venv": str(chosen)}


def test_pytorch_is_installed_used_and_removed_from_the_preferences(story):
    assert story["root"] == EXTENSION and story["loaded"] == []

    assert "tick Allow Online Access below" in story["install_pytorch"]
    assert story["cancel_install"] == "No installation is running."
    assert story["remove_pytorch"] == "HiSTalk has not installed PyTorch."
    assert story["open_preferences"] == "Blender has no window."
    assert story["before"].startswith("The Python package torch is not installed: press Install PyTorch")
    assert story["prepare"] == story["before"]

    assert story["install"] == ["FINISHED"] and story["message"] == "PyTorch is installed."
    assert story["after"] == "" and story["last path"] == story["folder"] and story["imported"] == []
    assert story["folder"].startswith(story["user"]) and "/.user/user_default/histalk_blender/" in story["folder"]

    assert story["remove"] == ["FINISHED"] and not story["there"] and story["removed"] == story["before"]

    assert "No environment is chosen" in story["none chosen"]
    assert story["chosen"] == "" and story["chosen path"] == story["venv"]
    assert "has torch 1.13.1, but HiSTalk needs" in story["unfit"]
    assert story["left"] == [] == story["paths left"]


@pytest.fixture
def registered():
    classes = [cls for cls in preferences.CLASSES if not issubclass(cls, bpy.types.AddonPreferences)]
    open_session()
    for cls in classes:
        bpy.utils.register_class(cls)
    yield classes
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
    close_session()


def test_without_an_extension_there_are_no_preferences(registered, monkeypatch):
    assert preferences.preferences(bpy.context) is None
    for cls in registered:
        assert cls.disabled_reason(bpy.context).endswith(".")
    monkeypatch.setattr(survey, "missing_reason", lambda: "torch is not installed.")
    assert Environment().blocking_reason(bpy.context) == "torch is not installed."


def test_class_names_and_identifiers_agree(registered):
    for cls in registered:
        assert cls.__name__ == "HISTALK_OT_" + cls.bl_idname.removeprefix("histalk.")
        assert cls.__doc__ and not cls.__doc__.endswith(".")


def test_a_bake_waits_while_an_install_runs_and_unregistering_stops_it():
    class Running:
        state = "running"

        def poll(self):
            return self.state

        def cancel(self, wait):
            self.state = "cancelled"

    environment = open_session().environment
    environment.installation = Running()
    assert "being installed" in environment.blocking_reason(bpy.context)
    close_session()
    assert environment.installation.state == "cancelled"


def test_importing_the_preferences_loads_no_torch():
    code = "import sys; import histalk_blender.addon.preferences; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.stdout.strip().endswith("set()"), done.stderr
