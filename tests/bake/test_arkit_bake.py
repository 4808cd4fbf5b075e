"""Curves on the ARKit keys of somebody's own mesh."""

import bpy
import numpy as np
import pytest

from histalk_blender.bake import bake, remove_bake
from histalk_blender.bake.actions import curve_bags
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.motion.arkit_fit import fit_blendshapes


@pytest.fixture(scope="module")
def motion(spoken):
    return spoken.between(20, 60)


@pytest.fixture
def creature():
    """A cube with ARKit keys in a spelling of its own, and one key of another kind."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    bpy.ops.mesh.primitive_cube_add()
    obj = bpy.context.active_object
    obj.shape_key_add(name="Basis", from_mix=False)
    obj.shape_key_add(name="Grumpy", from_mix=False).value = 0.25
    for i, unit in enumerate(ARKIT_BLENDSHAPES):
        key = obj.shape_key_add(name=unit.replace("Left", "_L").replace("Right", "_R"), from_mix=False)
        key.data[i % 8].co.z += 0.1 + i / 100
    obj.data.shape_keys.key_blocks["jawOpen"].value = 0.125
    yield obj
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_keys_play_the_fitted_units(creature, head, motion):
    report = bake(creature, motion, kind="arkit", start_frame=11)
    units, _ = fit_blendshapes(motion, head)
    assert (report.keys, report.frames, report.warnings) == (52, 40, []) and report.max_error_mm < 0.5
    moving = (units.max(0) >= 0.01).sum()
    assert moving > 20 and report.content == f"curves on {moving} of 52 ARKit keys"
    for i in (0, 17, 39):
        bpy.context.scene.frame_set(11 + i)
        keys = creature.data.shape_keys.key_blocks
        for unit in ("jawOpen", "mouthSmileLeft", "mouthClose"):
            value = keys[unit.replace("Left", "_L")].value
            assert abs(value - units[i, ARKIT_BLENDSHAPES.index(unit)]) < 1e-5
        assert keys["Grumpy"].value == 0.25


def test_removing_and_baking_again_leave_the_user_s_keys_as_they_were(creature, motion):
    bake(creature, motion, kind="arkit")
    bpy.context.scene.frame_set(20)
    bake(creature, motion.between(0, 10), kind="arkit")
    remove_bake(creature)
    keys = creature.data.shape_keys
    assert len(keys.key_blocks) == 54 and keys.key_blocks["jawOpen"].value == 0.125
    assert not bpy.data.actions and not list(keys.keys())


def test_a_key_renamed_after_the_bake_stays_the_user_s(creature, motion):
    bake(creature, motion, kind="arkit")
    creature.data.shape_keys.key_blocks["jawOpen"].name = "Jaw"
    remove_bake(creature)
    keys = creature.data.shape_keys
    assert len(keys.key_blocks) == 54 and keys.key_blocks["Jaw"].value == 0 and not bpy.data.actions


def test_a_slider_that_ends_too_early_is_named(creature, motion):
    creature.data.shape_keys.key_blocks["jawOpen"].slider_max = 0.01
    (warning,) = bake(creature, motion, kind="arkit").warnings
    assert "'jawOpen' end below" in warning


def test_a_curve_that_the_user_puts_into_our_action_survives(creature, motion):
    bake(creature, motion, kind="arkit")
    creature.data.shape_keys.key_blocks["Grumpy"].keyframe_insert("value", frame=3)
    remove_bake(creature)
    (bag,) = curve_bags(creature.data.shape_keys.animation_data)
    assert [curve.data_path for curve in bag.fcurves] == ['key_blocks["Grumpy"].value']


def test_a_key_that_the_user_animates_stays_theirs_and_is_named(creature, motion):
    creature.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=1)
    (warning,) = bake(creature, motion, kind="arkit").warnings
    assert "'jawOpen'" in warning
    bpy.context.scene.frame_set(20)
    assert creature.data.shape_keys.key_blocks["jawOpen"].value == 0.125
    remove_bake(creature)
    (bag,) = curve_bags(creature.data.shape_keys.animation_data)
    assert len(bag.fcurves) == 1


def test_a_mesh_without_arkit_keys_is_refused(motion):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_cube_add()
    with pytest.raises(HiSTalkError, match="no shape keys with ARKit names"):
        bake(bpy.context.active_object, motion, kind="arkit")


def test_the_curves_survive_gltf(creature, motion, tmp_path):
    bake(creature, motion, kind="arkit")
    scene = bpy.context.scene
    scene.frame_end = len(motion)

    def jaw(obj):
        values = []
        for frame in range(1, len(motion) + 1):
            bpy.context.scene.frame_set(frame)
            values.append(obj.data.shape_keys.key_blocks["jawOpen"].value)
        return np.array(values)

    before = jaw(creature)
    bpy.ops.export_scene.gltf(filepath=str(tmp_path / "face.glb"), export_animations=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    bpy.ops.import_scene.gltf(filepath=str(tmp_path / "face.glb"))
    after = jaw(next(o for o in bpy.data.objects if o.type == "MESH" and o.data.shape_keys))
    lag = min(range(3), key=lambda lag: np.abs(after[: len(after) - lag] - before[lag:]).max())
    assert np.abs(after[: len(after) - lag] - before[lag:]).max() < 1e-3 and np.ptp(before) > 0.05
