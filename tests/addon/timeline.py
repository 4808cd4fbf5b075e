"""Cutting strips in a test's scene, in whichever names this Blender has for it."""

import bpy

from histalk_blender.audio.clip import read_audio

NEW_NAMES = "left_handle" in bpy.types.Strip.bl_rna.properties
LEFT, RIGHT, CONTENT, TRIM = (
    ("left_handle", "right_handle", "content_start", "content_trim_start")
    if NEW_NAMES
    else ("frame_final_start", "frame_final_end", "frame_start", "animation_offset_start")
)


def add(where, source, frame, name="voice", channel=1):
    holder = where if hasattr(where, "strips") else where.sequence_editor
    return holder.strips.new_sound(name, str(source), channel, frame)


def add_meta(where, channel=3, name="meta"):
    holder = where if hasattr(where, "strips") else where.sequence_editor
    return holder.strips.new_meta(name, channel, 1)


def handles(strip, left, right):
    setattr(strip, RIGHT, right)
    setattr(strip, LEFT, left)


def place(strip, frame):
    setattr(strip, CONTENT, frame)


def retime(scene, strip, middle, end):
    """Play what follows frame `middle` so fast that it ends at `end`, as dragging a retiming key does."""
    scene.sequence_editor.active_strip, strip.select = strip, True
    window = bpy.context.window_manager.windows[0]
    shown, window.scene = window.scene, scene
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region, space_data=area.spaces.active):
        bpy.ops.sequencer.retiming_key_add(timeline_frame=middle)
    strip.retiming_keys[-1].timeline_frame = end
    window.scene = shown


def mixdown(scene, path):
    """What Blender plays from frame_start on, at 16 kHz."""
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        bpy.ops.sound.mixdown(
            filepath=str(path), container="WAV", codec="PCM", format="F32", mixrate=48_000, channels="MONO", accuracy=64
        )
    return read_audio(path)
