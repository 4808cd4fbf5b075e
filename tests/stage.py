"""A tiny scene that speaks an animator's verbs, in whichever Blender runs the tests."""

import importlib.util

import bpy
import numpy as np
import pytest
import soundfile as sf
from assets import SPEECH

from histalk_blender import addon
from histalk_blender.addon import bake_job as job
from histalk_blender.addon import operators
from histalk_blender.addon.environment import Environment
from histalk_blender.addon.session import get_session
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.topologies.flame import load_flame_map


@pytest.fixture
def blender(monkeypatch, stored_performance):
    """Blender with the add-on, and an empty scene at 24 frames a second."""
    if importlib.util.find_spec("torch") is None:  # Blender 5.2's Python here
        monkeypatch.setattr(job, "perform_clip", lambda samples, weights, device, progress: stored_performance)
        monkeypatch.setattr(Environment, "blocking_reason", lambda self, context: "")
        monkeypatch.setattr(Environment, "activate", lambda self, context: None)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 24
    addon.register()
    yield Stage()
    addon.unregister()
    bpy.ops.wm.read_factory_settings(use_empty=True)


class Stage:
    """What an animator does and sees."""

    def add_head(self, **options):
        assert bpy.ops.histalk.add_head(**options) == {"FINISHED"}
        return bpy.context.active_object

    def add_flame_head(self, head, scale=1.0):
        """Somebody's FLAME head; the eyes lie where FLAME's would."""
        vertices = load_flame_map().read(head.vertices) * scale
        vertices[load_flame_map().eyes] = scale * head.vertices[head.regions["eye_left"]].mean(0)
        return self.add_mesh("FLAME", vertices)

    def add_mesh(self, name, vertices):
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(np.asarray(vertices).tolist(), [], [])
        obj = bpy.data.objects.new(name, mesh)
        bpy.context.scene.collection.objects.link(obj)
        bpy.context.view_layer.objects.active = obj
        return obj

    def add_creature(self, spell=lambda unit: unit):
        """A cube with the 52 ARKit keys in somebody's spelling."""
        bpy.ops.mesh.primitive_cube_add()
        obj = bpy.context.active_object
        obj.shape_key_add(name="Basis", from_mix=False)
        for i, unit in enumerate(ARKIT_BLENDSHAPES):
            obj.shape_key_add(name=spell(unit), from_mix=False).data[i % 8].co.z += 0.1
        return obj

    def add_strip(self, frame=11, path=SPEECH, channel=1):
        editor = bpy.context.scene.sequence_editor_create()
        return editor.strips.new_sound("Line", str(path), channel, frame)

    def bake(self, **settings):
        for name, value in settings.items():
            setattr(bpy.context.object.histalk, name, value)
        assert bpy.ops.histalk.bake() == {"FINISHED"}

    def why_grey(self):
        return operators.HISTALK_OT_bake.disabled_reason(bpy.context)

    def begin(self, **settings):
        """Press Bake as in a window, and get the job that a timer would drive."""
        from histalk_blender.addon.bake_request import build_request

        for name, value in settings.items():
            setattr(bpy.context.object.histalk, name, value)
        return get_session().start_bake(build_request(bpy.context, bpy.context.object))

    def drive(self, job, until=("done", "failed", "cancelled")):
        import time

        while job.advance() not in until:
            time.sleep(0.005)
        return job.state

    def vertices(self, obj, frame):
        """[V, 3] what is seen at a scene frame, in the mesh's own space."""
        bpy.context.scene.frame_set(int(frame), subframe=frame - int(frame))
        mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        out = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", out)
        return out.reshape(-1, 3)

    def state(self):
        """All that a bake might change."""
        rows = []
        for obj in sorted(bpy.data.objects, key=lambda obj: obj.name):
            keys = obj.data.shape_keys if obj.type == "MESH" else None
            names = [(key.name, key.value) for key in keys.key_blocks] if keys else []
            rows.append((obj.name, obj.mode, [modifier.name for modifier in obj.modifiers], names))
        return rows, sorted(action.name for action in bpy.data.actions)


@pytest.fixture(scope="session")
def voice(tmp_path_factory):
    """Six seconds with a burst of noise every half second, no two alike."""
    samples, random = np.zeros(6 * 48_000), np.random.default_rng(0)
    for onset in range(6_000, len(samples), 24_000):
        burst = np.cumsum(random.normal(0, 0.1, 4_800)) * np.hanning(4_800)
        samples[onset : onset + 4_800] = random.uniform(0.2, 0.8) * burst / np.abs(burst).max()
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    sf.write(path, samples, 48_000)
    return path


@pytest.fixture
def scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.0
    scene.frame_start, scene.frame_end = 0, 220
    scene.sequence_editor_create()
    yield scene
    bpy.ops.wm.read_factory_settings(use_empty=True)
