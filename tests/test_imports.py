"""The package's shape: what may import what."""

import subprocess
import sys
from pathlib import Path

import histalk_blender

ROOT = Path(histalk_blender.__file__).parent


def test_importing_the_package_loads_neither_torch_nor_bpy():
    code = "import sys, histalk_blender, histalk_blender.cli.main; "
    code += "print({'torch', 'bpy', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_bundled_weights_need_no_transformers():
    code = (
        "import sys, numpy as np; from histalk_blender.synthesis.engine import perform_clip; "
        "perform_clip(np.ones(8000, np.float32) * 0.1, None, 'cpu', lambda *_: None); "
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'torch'}"


def test_rooms_import_only_what_lies_below_them_and_bake_and_addon_alone_import_bpy():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
