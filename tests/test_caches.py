"""Point caches play in Blender as the motion that was written."""

import bpy
import numpy as np
import pytest
from assets import SPEECH

from histalk_blender.bake import build_scene
from histalk_blender.caches import write_mdd, write_pc2
from histalk_blender.errors import HiSTalkError


@pytest.mark.parametrize(("kind", "write"), [("PC2", write_pc2), ("MDD", write_mdd)])
def test_the_modifier_plays_what_was_written(kind, write, spoken, head, tmp_path):
    motion = spoken.between(20, 320 // 4)
    path = write(tmp_path / f"a.{kind.lower()}", head.vertices, motion)
    obj = build_scene(head, SPEECH, len(motion), 1, 30.0)
    modifier = obj.modifiers.new("cache", "MESH_CACHE")
    modifier.cache_format, modifier.filepath, modifier.frame_start = kind, str(path), 1
    modifier.time_mode, modifier.play_mode = "FRAME", "SCENE"
    for frame in (0, 7, len(motion) - 1):
        bpy.context.scene.frame_set(1 + frame)
        mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        got = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", got)
        wanted = head.vertices + motion.displacements(frame, frame + 1)[0]
        np.testing.assert_allclose(got.reshape(-1, 3), wanted, atol=2e-6)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_an_mdd_holds_what_its_format_says(spoken, head, tmp_path):
    data = write_mdd(tmp_path / "a.mdd", head.vertices, spoken.at_fps(25.0)).read_bytes()
    frames, points = np.frombuffer(data, ">i4", 2)
    times = np.frombuffer(data, ">f4", frames, 8)
    assert points == len(head.vertices) and times[25] == 1.0 and len(data) == 8 + 4 * frames + 12 * frames * points


@pytest.mark.parametrize("write", [write_pc2, write_mdd])
def test_nothing_stays_of_one_that_cannot_be_written_or_is_stopped(write, spoken, head, tmp_path):
    with pytest.raises(HiSTalkError, match="nowhere"):
        write(tmp_path / "nowhere" / "a.pc2", head.vertices, spoken)

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.pc2", head.vertices, spoken, stop)
    assert not list(tmp_path.iterdir())
