"""A setting is described once; the panel, the flags and the manifest's columns are made of that."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from histalk_blender.addon.properties import HiSTalkSettings
from histalk_blender.bake.kinds import KINDS, kind_options
from histalk_blender.batch.columns import COLUMNS
from histalk_blender.batch.job import Job
from histalk_blender.cli.main import main
from histalk_blender.motion.style import Style
from histalk_blender.settings import settings_of

SETTINGS = (*settings_of(Style), *kind_options())
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_panel_flags_and_columns_agree(blender, setting):
    shown = HiSTalkSettings.bl_rna.properties[setting.name]
    assert (shown.name, shown.description) == (setting.label_with_unit, setting.description)
    for found, described in (
        (shown.hard_min, setting.minimum),
        (shown.hard_max, setting.maximum),
        (shown.default, setting.default),
        ((shown.soft_min, shown.soft_max), setting.usual or (setting.minimum, setting.maximum)),
    ):
        assert found == pytest.approx(described)
    for command in ("bake", "batch"):
        (flag,) = (flag for flag in main.commands[command].params if flag.name == setting.name)
        assert flag.opts == [setting.flag] and flag.default == setting.default and setting.description in flag.help
        assert flag.type.convert(f"{setting.maximum}", flag, None) == setting.maximum
        with pytest.raises(click.BadParameter, match=setting.allowed):
            flag.type.convert(f"{setting.maximum + 1}", flag, None)
    assert COLUMNS[setting.name].__self__ == setting and Job().settings()[setting.name] == setting.default


def test_the_kinds_of_bake_are_those_of_the_list(blender):
    shown = HiSTalkSettings.bl_rna.properties["kind"].enum_items
    assert [(item.identifier, item.name, item.value) for item in shown] == [
        (kind.name, kind.label, kind.number) for kind in KINDS
    ]
    assert {kind.name: kind.number for kind in KINDS} == {"basis": 0, "cache": 1, "keys": 2, "arkit": 3}, (
        "as .blend files"
    )


TOY = """
import bpy, sys
from dataclasses import dataclass
from histalk_blender.motion import style
from histalk_blender.settings import setting

@dataclass(frozen=True)
class Toy(style.Style):
    tilt: float = setting(0.0, "Tilt", "How far the head leans to one side", -2.0, 2.0, unit="s")

style.Style = Toy
from histalk_blender import addon
from histalk_blender.batch.job import Job
from histalk_blender.batch.manifest import read_manifest
from histalk_blender.cli.main import main

addon.register()
obj = bpy.data.objects.new("Head", bpy.data.meshes.new("Head"))
obj.histalk.tilt = 5.0
print(obj.histalk.style().tilt)
addon.unregister()
for command in ("bake", "batch"):
    print([flag.opts[0] for flag in main.commands[command].params if flag.name == "tilt"])
(job,) = read_manifest(sys.argv[1], Job())
print(job.style.tilt, job.settings()["tilt"], job.problems)
"""


def test_a_new_field_of_the_style_is_in_all_of_them(tmp_path):
    (tmp_path / "jobs.csv").write_text("audio,tilt\njobs.csv,1.5\n")
    child = [sys.executable, "-c", TOY, tmp_path / "jobs.csv"]
    done = subprocess.run(child, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-4:] == ["2.0", "['--tilt']", "['--tilt']", "1.5 1.5 ()"], done.stderr
