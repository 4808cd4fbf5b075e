"""A performance in somebody's own .blend: the head is found, speaks where it is told to, and rests around it."""

import bpy
import numpy as np
import pytest
from assets import SPEECH
from test_bakes import evaluated

from histalk_blender.bake import BakeSettings, add_head, bake_performance
from histalk_blender.bake.scene import save_blend
from histalk_blender.bake.shot import add_sound, check_camera, new_shot, open_shot, render_film, save_shot
from histalk_blender.errors import HiSTalkError
from histalk_blender.motion.style import Style


@pytest.fixture
def shot(tmp_path, head):
    """A saved shot at 25 frames a second, of a head moved aside, a cube and nobody else."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 25
    add_head(head).location.x = 1
    bpy.ops.mesh.primitive_cube_add()
    save_blend(tmp_path / "shot.blend")
    yield tmp_path / "shot.blend"
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.mark.parametrize("kind", ["cache", "basis"])
def test_the_only_head_speaks_from_its_frame_on_and_rests_around_it(shot, stored_performance, head, tmp_path, kind):
    obj = open_shot(shot, "")
    style = Style(delay=0.08)
    bake_performance(
        obj,
        stored_performance,
        BakeSettings(kind=kind, start_frame=101, cache=tmp_path / "a.pc2", style=style, ease=True),
    )
    add_sound(SPEECH, 101)
    out = tmp_path / "out.blend"
    save_shot(out)
    bpy.ops.wm.open_mainfile(filepath=str(out))
    obj = bpy.data.objects["HiSTalk Head"]
    motion = stored_performance.motion.at_fps(25)
    for i in (10, 70, len(motion) - 5):
        told = evaluated(obj, 101 + 2 + i) - head.vertices - motion.displacements(i, i + 1)[0]
        assert np.linalg.norm(told, axis=1).max() < 0.0003
    for still in (95, 101 + len(motion) + 7):
        assert np.linalg.norm(evaluated(obj, still) - head.vertices, axis=1).max() < (
            0.02 if kind == "basis" else 0.0005
        )
    assert bpy.context.scene.sequence_editor.strips[0].frame_final_start == 101 and obj.location.x == 1
    assert bpy.context.scene.render.fps == 25


def test_a_new_shot_is_as_long_as_the_sound(stored_performance, tmp_path):
    obj = new_shot(stored_performance, SPEECH, 11, 24.0, units=True)
    report = bake_performance(obj, stored_performance, BakeSettings(kind="arkit", start_frame=11))
    assert report.frames == bpy.context.scene.frame_end - 10 == round(len(stored_performance.motion) * 24 / 30)


def test_a_head_that_is_not_there_or_one_of_two_is_asked_for(shot, head, tmp_path):
    with pytest.raises(HiSTalkError, match="no object 'Hero' in its scene: its meshes are 'HiSTalk Head', 'Cube'"):
        open_shot(shot, "Hero")
    assert open_shot(shot, "Cube").name == "Cube"
    add_head(head)
    save_blend(tmp_path / "two.blend")
    with pytest.raises(HiSTalkError, match="2 heads"):
        open_shot(tmp_path / "two.blend", "")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    save_blend(tmp_path / "none.blend")
    with pytest.raises(HiSTalkError, match="no head"):
        open_shot(tmp_path / "none.blend", "")


def test_the_shot_itself_is_not_written_over(shot):
    before = shot.read_bytes()
    open_shot(shot, "")
    with pytest.raises(HiSTalkError, match="the shot itself"):
        save_shot(shot)
    assert shot.read_bytes() == before


def test_what_is_no_blend_or_no_head_is_refused(shot, stored_performance, tmp_path):
    (tmp_path / "text.blend").write_text("no blend")
    with pytest.raises(HiSTalkError, match="is it a .blend"):
        open_shot(tmp_path / "text.blend", "")
    cube = open_shot(shot, "Cube")
    with pytest.raises(HiSTalkError, match="8 vertices, .*a FLAME head 5023.*or bake as ARKit curves"):
        bake_performance(cube, stored_performance, BakeSettings())
    with pytest.raises(HiSTalkError, match="no camera"):
        render_film(tmp_path / "a.mp4", 1, 5)


def test_a_film_without_a_camera_is_refused_and_a_marker_s_camera_is_one():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    with pytest.raises(HiSTalkError, match="no camera"):
        check_camera()
    scene.timeline_markers.new("Cut", frame=1).camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    check_camera()
