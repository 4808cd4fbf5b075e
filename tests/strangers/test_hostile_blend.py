"""Somebody else's .blend is played, rendered and saved: it writes no file of its own and runs no code."""

import shutil

import bpy
import numpy as np
import pytest
import soundfile as sf

from histalk_blender.bake import add_head
from histalk_blender.bake.exporters import export
from histalk_blender.bake.scene import save_blend
from histalk_blender.bake.shot import open_shot, render_film, save_shot


def write(obj, kinds, folder):
    """Two frames of the open file, in each of these formats."""
    for kind in kinds:
        path = folder / f"film.{kind}"
        if kind == "blend":
            save_shot(path)
        elif kind == "mp4":
            render_film(path, 1, 2)
        else:
            export(obj, path, 1, 2)


def file_output(tree, folder):
    """A File Output node behind a scene's picture."""
    picture, node = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeOutputFile")
    if bpy.app.version >= (5, 0):
        node.directory, node.file_name = str(folder), "stolen"
        node.file_output_items.new("RGBA", "stolen")
    else:
        node.base_path = str(folder)
    tree.links.new(picture.outputs[0], node.inputs[0])


def compositor(scene, folder):
    if bpy.app.version >= (5, 0):
        scene.compositing_node_group = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
        file_output(scene.compositing_node_group, folder)
    else:
        scene.use_nodes = True
        file_output(scene.node_tree, folder)
    scene.render.use_compositing = True


def scene_strip(scene, folder):
    """Another scene with a compositor, in the sequencer, whose strip an F-curve keeps unmuted."""
    other = bpy.data.scenes.new("Other")
    other.camera = scene.camera
    other.render.resolution_x = other.render.resolution_y = 16
    compositor(other, folder)
    strip = scene.sequence_editor.strips.new_scene("Other", other, 5, 1)
    strip.keyframe_insert("mute", frame=1)


def stereo(scene, folder):
    """More eyes, each with a film of its own."""
    scene.render.use_multiview, scene.render.views_format = True, "MULTIVIEW"
    for name in "ab":
        scene.render.views.new(name).file_suffix = f"/../../{folder.name}/{name}"
    scene.render.image_settings.views_format = "INDIVIDUAL"


def freestyle(scene, folder):
    """Lines drawn by a Python script in the file."""
    text = bpy.data.texts.new("lines.py")
    text.write(f"open({str(folder / 'ran')!r}, 'w')\n")
    scene.render.use_freestyle = True
    settings = bpy.context.view_layer.freestyle_settings
    settings.mode = "SCRIPT"
    settings.modules.new().script = text


def split_film(scene, folder):
    scene.render.ffmpeg.use_autosplit = True


def registered_script(scene, folder):
    text = bpy.data.texts.new("register.py")
    text.use_module = True
    text.write(f"open({str(folder / 'ran')!r}, 'w')\n")


ATTACKS = (compositor, scene_strip, stereo, freestyle, split_film, registered_script)


@pytest.fixture
def shot(scene, head, tmp_path):
    """A head, a camera and a second of sound."""
    scene.frame_start, scene.frame_end = 1, 2
    obj = add_head(head)
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.camera.location, scene.camera.rotation_euler = (0, -1, 0), (np.pi / 2, 0, 0)
    scene.collection.objects.link(scene.camera)
    sf.write(tmp_path / "tone.wav", 0.5 * np.sin(np.arange(48_000) / 20), 48_000)
    scene.sequence_editor.strips.new_sound("Tone", str(tmp_path / "tone.wav"), 1, 1)
    return obj


def film(tmp_path, outputs=("mp4",)):
    """Save the open scene, go about it as a batch does, and list the files that there are then."""
    (tmp_path / "out").mkdir(exist_ok=True)
    save_blend(tmp_path / "shot.blend")
    obj = open_shot(tmp_path / "shot.blend", "HiSTalk Head")
    write(obj, outputs, tmp_path / "out")
    return sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_film_writes_itself_alone(shot, scene, tmp_path, attack):
    (tmp_path / "loot").mkdir()
    attack(scene, tmp_path / "loot")
    assert film(tmp_path) == ["out/film.mp4", "shot.blend", "tone.wav"]


def test_a_simulation_writes_no_cache_and_is_saved_as_it_was(shot, scene, tmp_path):
    """A fluid writes where its file says, as soon as it is opened; cloth with a cache on the disk beside the .blend."""
    loot = tmp_path / "loot"
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.object.name = "Smoke"
    domain = bpy.context.object.modifiers.new("Fluid", "FLUID")
    domain.show_viewport = False
    domain.fluid_type = "DOMAIN"
    settings = domain.domain_settings
    settings.resolution_max, settings.cache_type, settings.cache_directory = 8, "REPLAY", str(loot)
    save_blend(tmp_path / "shot.blend")  # only then may a cache lie on the disk
    bpy.ops.mesh.primitive_plane_add()
    bpy.context.object.name = "Cape"
    bpy.context.object.modifiers.new("Cloth", "CLOTH").point_cache.use_disk_cache = True
    domain.keyframe_insert("show_viewport", frame=1)
    for point in domain.id_data.animation_data.action.layers[0].strips[0].channelbags[0].fcurves[0].keyframe_points:
        point.co.y = 1
    domain.show_viewport = True
    (tmp_path / "out").mkdir()
    save_blend(tmp_path / "shot.blend")
    for path in (loot, tmp_path / "blendcache_shot"):
        shutil.rmtree(path, ignore_errors=True)
    obj = open_shot(tmp_path / "shot.blend", "HiSTalk Head")
    for frame in range(1, 5):
        bpy.context.scene.frame_set(frame)
    write(obj, ("blend", "abc", "mp4"), tmp_path / "out")
    assert not loot.exists() and not list(tmp_path.rglob("blendcache*"))
    with bpy.data.libraries.load(str(tmp_path / "out" / "film.blend")) as (source, target):
        target.objects = ["Smoke", "Cape"]
    smoke, cape = target.objects
    assert smoke.modifiers[0].show_viewport and smoke.modifiers[0].show_render and cape.modifiers[0].show_viewport
    assert not smoke.animation_data.action.layers[0].strips[0].channelbags[0].fcurves[0].mute


def test_a_film_shows_the_head_and_sounds_whatever_pictures_lie_in_the_sequencer(shot, scene, tmp_path):
    scene.frame_end = 2
    scene.render.fps = 2
    colour = scene.sequence_editor.strips.new_effect("Red", "COLOR", 3, 1, **span(3))
    colour.color = (1, 0, 0)
    film(tmp_path)
    scene = bpy.context.scene
    assert not any(strip.mute for strip in scene.sequence_editor.strips_all) and len(scene.sequence_editor.strips) == 2
    assert scene.render.use_compositing and scene.render.resolution_x == 1920
    scene.sequence_editor_clear()
    sound = bpy.data.sounds.load(str(tmp_path / "out" / "film.mp4"))
    import aud

    heard = aud.Sound(sound.filepath).data()
    assert np.abs(heard[4800:9600]).max() == pytest.approx(0.5 / 2**0.5, abs=0.02), "the strip's sound is in the film"
    clip = bpy.data.movieclips.load(str(tmp_path / "out" / "film.mp4"))
    assert tuple(clip.size) in ((512, 512), (256, 256))


def span(length):
    """The length of an effect strip, as this Blender wants it."""
    return {"length": length} if bpy.app.version >= (5, 0) else {"frame_end": 1 + length}
