"""The extension as Blender loads it: by the folder's own __init__.py, under a name of Blender's choosing."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def extension():
    name = "bl_ext_histalk_test"
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    module.register()
    yield module
    module.unregister()
    for loaded in [m for m in sys.modules if m.split(".")[0] == name]:
        del sys.modules[loaded]
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_the_add_menu_gives_a_head_that_can_be_undone(extension, head):
    bpy.context.scene.cursor.location = (1, 2, 3)
    assert bpy.ops.histalk.add_head() == {"FINISHED"}
    obj = bpy.context.active_object
    assert len(obj.data.vertices) == len(head.vertices) and tuple(obj.location) == (1, 2, 3)
    assert "UNDO" in extension.histalk_blender.addon.operators.HISTALK_OT_add_head.bl_options
    bpy.ops.object.mode_set(mode="EDIT")
    assert not bpy.ops.histalk.add_head.poll()
    bpy.ops.object.mode_set(mode="OBJECT")


def test_unregistering_leaves_nothing(extension):
    extension.unregister()
    assert not hasattr(bpy.types, "HISTALK_OT_add_head")
    extension.register()


def test_registering_loads_no_torch():
    """Measured in a process of its own, as this one has loaded torch for other tests."""
    code = f"""
import importlib.util, sys
root = {str(ROOT)!r}
spec = importlib.util.spec_from_file_location("ext", root + "/__init__.py", submodule_search_locations=[root])
module = sys.modules["ext"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.register(); module.unregister()
print({{"torch", "transformers"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.stdout.strip().endswith("set()"), done.stderr


def test_the_manifest_agrees_with_the_package():
    import histalk_blender

    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())
    assert manifest["version"] == histalk_blender.__version__
    assert "blender" not in manifest["name"].lower()
