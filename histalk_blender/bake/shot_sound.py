"""The sound of a shot: heard once, whatever the shot held before and however often it is baked."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import bpy

from .actions import MARK

TAKE = f"{MARK} take"  # on a strip that we added, its token; on the head that it is for, those of all its strips
HEAD = f"{MARK} head"  # on the strip: that head's name, as a library override forgets the token
CHANNELS = 128  # Blender's last
NEAR = 0.5  # of a frame: what is no further off is the same place


def add_sound(audio: Path, start: int, obj=None) -> str:
    """Let the scene's sequencer play a sound from a frame on, unless it does so already.

    A strip that we added for the same head is replaced by another take of its line: by the same sound, or by one that
    begins where it does. Other lines, and the animator's strips, stay as they are.

    Args:
        audio: the file.
        start: scene frame where it begins.
        obj: the head that speaks it; None = nobody's.

    Returns:
        A remark for the user, or "".
    """
    scene, audio = bpy.context.scene, Path(audio).resolve()
    editor = scene.sequence_editor_create()
    sounds = [strip for strip in editor.strips_all if strip.type == "SOUND" and strip.sound is not None]
    same = [strip for strip in sounds if _is_same(strip.sound, audio)]
    here = next((strip for strip in same if abs(_begins(scene, strip) - start) <= NEAR), None)
    ours = _added_for(obj, sounds)
    earlier = next((one for one in ours if one in same or abs(_begins(scene, one) - start) <= NEAR), None)
    if earlier is not None and earlier != here and earlier in list(editor.strips):
        editor.strips.remove(earlier)
        same = [strip for strip in same if strip != earlier]
    if here is not None:
        return f"The shot holds the sound already, in the muted strip '{here.name}'." if here.mute else ""
    strip = editor.strips.new_sound(audio.stem, str(audio), _free_channel(editor), start)
    strip.volume, strip.pan, strip.mute, strip.sound_offset = 1.0, 0.0, False, 0.0
    if obj is not None:
        strip[TAKE], strip[HEAD] = _new_token(editor), obj.name
        obj[TAKE] = " ".join([*obj.get(TAKE, "").split(), strip[TAKE]])
    if same:
        frame = _begins(scene, same[0])
        return f"The shot holds the same sound at frame {frame:g} too, in strip '{same[0].name}', so it is heard twice."
    return ""


def _added_for(obj, sounds: list) -> list:
    """The strips that we added for this head; one that the animator copied is the animator's, as is its copy."""
    if obj is None:
        return []
    forgotten = obj.override_library and TAKE not in obj
    name, ours = (HEAD, [obj.name]) if forgotten else (TAKE, obj.get(TAKE, "").split())
    count = Counter(strip.get(TAKE) for strip in sounds)
    return [strip for strip in sounds if strip.get(name) in ours and count[strip.get(TAKE)] == 1]


def _new_token(editor) -> str:
    """The first number that no strip and no head has: by chance, equal scenes would not be equal files."""
    used = {token for holder in [*editor.strips_all, *bpy.data.objects] for token in str(holder.get(TAKE, "")).split()}
    return next(str(number) for number in itertools.count(1) if str(number) not in used)


def _is_same(sound, audio: Path) -> bool:
    """Whether a sound data-block is this file: by its path, or by its bytes, packed ones too."""
    if sound.packed_file:
        return sound.packed_file.size == audio.stat().st_size and bytes(sound.packed_file.data) == audio.read_bytes()
    path = Path(bpy.path.abspath(sound.filepath, library=sound.library)).resolve()
    if path == audio:
        return True
    try:
        return path.stat().st_size == audio.stat().st_size and path.read_bytes() == audio.read_bytes()
    except OSError:
        return False


def _begins(scene, strip) -> float:
    """The scene frame, between frames too, at which the beginning of a strip's sound lies, trimmed away or not."""
    later = hasattr(strip, "content_start")  # Blender 5.2's names
    first = strip.content_start if later else strip.frame_start
    trimmed = strip.content_trim_start if later else strip.animation_offset_start
    return first - trimmed + strip.sound_offset * scene.render.fps / scene.render.fps_base


def _free_channel(editor) -> int:
    """The first above all strips that is heard, or the last where strips lie up to the top."""
    top = max((strip.channel for strip in editor.strips), default=0)
    heard = [channel for channel in range(top + 1, CHANNELS + 1) if not editor.channels[channel].mute]
    return heard[0] if heard else CHANNELS
