"""The package's shape: what may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import histalk_blender

ROOT = Path(histalk_blender.__file__).parent


def imports(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, relative ones resolved."""
    package = ["histalk_blender", *path.relative_to(ROOT).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def test_importing_the_package_loads_neither_torch_nor_bpy():
    code = "import sys, histalk_blender, histalk_blender.cli.main; print({'torch', 'bpy', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_bundled_weights_need_no_transformers():
    code = (
        "import sys, numpy as np; from histalk_blender.synthesis.engine import listen; "
        "listen(np.ones(8000, np.float32) * 0.1, None, 'cpu', lambda *_: None); print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'torch'}"


def test_only_bake_and_addon_import_bpy():
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] not in ("bake", "addon"):
            assert not {name for name in imports(path) if name.split(".")[0] == "bpy"}, path


def test_arrows_point_one_way():
    above = {
        "audio": ("network", "synthesis", "batch", "addon", "cli", "training"),
        "head": ("motion", "audio", "network", "synthesis", "bake", "batch", "addon", "cli", "training"),
        "motion": ("audio", "network", "synthesis", "bake", "batch", "addon", "cli", "training"),
        "network": ("synthesis", "bake", "addon", "cli", "training", "audio", "head", "motion"),
        "synthesis": ("bake", "batch", "addon", "cli", "training"),
        "bake": ("batch", "addon", "cli", "training", "network"),
        "batch": ("addon", "cli", "training"),
        "addon": ("training",),  # its command is the command line's
        "cli": ("addon",),
        "training": ("bake", "batch", "addon", "cli"),
    }
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0]
        for target in above.get(room, ()):
            bad = [n for n in imports(path) if n.startswith(f"histalk_blender.{target}")]
            assert not bad, f"{path.name} imports {bad}"
