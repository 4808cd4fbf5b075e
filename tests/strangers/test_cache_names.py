"""A cache that one head plays is never written over by another's bake."""

from pathlib import Path

import bpy
import numpy as np
import pytest


def second(blender, name):
    obj = blender.add_head()
    obj.name = name
    return obj


def spoken(blender, obj):
    return np.stack([blender.vertices(obj, frame) for frame in (20, 40, 60)])


@pytest.mark.parametrize(
    "first, then", [("Head L", "Head_L"), ("Head", "head"), ("a:b", "a?b"), ("\u00e9", "e\u0301"), ("x" * 60, "X" * 60)]
)
def test_heads_of_like_names_keep_their_caches(blender, tmp_path, first, then):
    blender.add_strip()
    heads = []
    for name, jaw in ((first, 1.0), (then, 0.0)):
        heads.append(second(blender, name))
        blender.bake(kind="cache", cache_folder=str(tmp_path), jaw=jaw)
    files = {Path(bpy.path.abspath(head.modifiers[0].filepath)).name.casefold() for head in heads}
    assert len(files) == 2
    loud, still = (np.ptp(spoken(blender, head), axis=0).max() for head in heads)
    assert loud > 1.2 * still


def test_a_renamed_head_keeps_its_cache_and_a_bake_again_takes_its_own(blender, tmp_path):
    blender.add_strip()
    hero = second(blender, "Head")
    blender.bake(kind="cache", cache_folder=str(tmp_path))
    before = spoken(blender, hero)
    hero.name = "Hero"
    other = second(blender, "Head")
    blender.bake(kind="cache", cache_folder=str(tmp_path), jaw=0.0)
    blender.bake(kind="cache", cache_folder=str(tmp_path), jaw=0.0)
    assert np.array_equal(spoken(blender, hero), before)
    assert not np.array_equal(spoken(blender, other), before)
    assert len(list(tmp_path.glob("*.pc2"))) == 2


def test_a_long_file_name_is_cut(blender, tmp_path):
    shot = tmp_path / f"{'s' * 240}.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(shot))
    blender.add_strip()
    head = second(blender, "Head")
    blender.bake(kind="cache")
    assert np.ptp(spoken(blender, head), axis=0).max() > 1e-3
