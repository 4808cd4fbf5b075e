"""The package's own facts."""

import itertools
import re
import tomllib
from pathlib import Path

from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.runtime import pins

ROOT = Path(__file__).parents[1]


def test_there_are_52_distinct_units_in_alphabetical_order():
    assert len(ARKIT_BLENDSHAPES) == len(set(ARKIT_BLENDSHAPES)) == 52
    assert list(ARKIT_BLENDSHAPES) == sorted(ARKIT_BLENDSHAPES)


def test_each_program_that_is_pinned_has_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    named += [line for line in (ROOT / "tests/blender52.txt").read_text().splitlines() if not line.startswith("bpy")]
    named += [line.rstrip(" \\") for line in (ROOT / "tools/wheels.txt").read_text().splitlines()]
    named += pins.PINS.splitlines()
    named += [f"torch=={pins.TORCH}", f"transformers=={pins.TRANSFORMERS}", f"bpy=={pins.BPY}"]
    exact = {}
    for name, version in (re.fullmatch(r"([\w.-]+)(?:\[\w+\])?==(\S+)", one).groups() for one in named if "==" in one):
        exact.setdefault(name.replace("_", "-"), set()).add(version)
    assert {"torch", "bpy", "soundfile", "safetensors", "ray"} <= set(exact)
    assert {name: versions for name, versions in exact.items() if len(versions) > 1} == {}
