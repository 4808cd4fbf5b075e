"""What the timeline plays, as a segment of sound and the scene frame at which it starts."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..audio.channels import MIX
from ..bake.actions import curve_bags
from ..errors import HiSTalkError

# Blender 5.2's names, and those of the same properties in 4.5, which 5.2 deprecates.
OLDER_NAMES = {
    "left_handle": "frame_final_start",
    "right_handle": "frame_final_end",
    "content_start": "frame_start",
    "content_duration": "frame_duration",
    "content_trim_start": "animation_offset_start",
    "content_trim_end": "animation_offset_end",
}


@dataclass(frozen=True)
class TimelineSound:
    """A segment of sound that a worker thread can decode without bpy.

    Args:
        source: a file, or the bytes of a packed sound.
        start: seconds into it.
        duration: seconds; None = to its end. Where the sound ends earlier, silence follows.
        first_frame: the scene frame at which it starts to play; fractional where a sound starts between frames.
        name: for messages.
        temporary: a mixdown, to be deleted after decoding.
        channel: of the sound, see `channels.read_channel`.
    """

    source: Path | bytes
    start: float
    duration: float | None
    first_frame: float
    name: str
    temporary: bool = False
    channel: str = MIX


def sound_strips(scene) -> list:
    """The strips with speech to choose from, in timeline order: sounds, also in metas, and metas that contain any."""
    editor = scene.sequence_editor
    strips = [strip for strip in editor.strips_all if _sounds(strip)] if editor else []
    return sorted(strips, key=lambda strip: (_timing(strip, "left_handle"), strip.channel))


def proposed_strip(scene):
    """The active strip if it has sound, else the first audible sound, else the first sound, else None."""
    strips = sound_strips(scene)
    if strips and scene.sequence_editor.active_strip in strips:
        return scene.sequence_editor.active_strip
    sounds = [strip for strip in strips if strip.type == "SOUND"]
    return next((strip for strip in sounds if not inaudible_reason(scene, strip)), sounds[0] if sounds else None)


def inaudible_reason(scene, strip) -> str:
    """One sentence with the cause and the fix where a strip is not audible on the timeline, else ""."""
    sounds = _sounds(strip)
    if not sounds:
        return f"'{strip.name}' contains no sound: choose a sound strip."
    if scene.audio_volume == 0:
        return f"The volume of scene '{scene.name}' is 0: raise it in Scene properties › Audio."
    reasons = [_sound_inaudible_reason(scene, sound) for sound in sounds]
    return "" if "" in reasons else reasons[0]


def record_strip(scene, strip, channel: str = MIX) -> TimelineSound:
    """The sound of one strip alone, with its trims, offsets, metas and speed changes.

    A lossless sound at its own speed and volume is read from its file. Sounds that only Blender plays as they are heard
    are mixed down at once: retimed sounds, animated volumes, whole metas, and files that other decoders cannot read or
    place elsewhere in time.

    Raises:
        HiSTalkError: there is an `inaudible_reason`, Blender could not mix it down, or there is no such channel.
    """
    from ..audio.opening import is_lossless

    reason = inaudible_reason(scene, strip)
    if reason:
        raise HiSTalkError(reason)
    if strip.type == "SOUND":
        packed = strip.sound.packed_file
        source = packed.data if packed else _file(strip.sound)
        if not _is_automated(scene, strip) and is_lossless(source):
            start, duration, first_frame = _segment(scene, strip)
            return TimelineSound(source, start, duration, first_frame, strip.name, channel=channel)
    with _alone(scene, strip) as alone:
        path = _mix_down(alone, strip.name, channel)
    left, right = _visible_frames(strip)
    return TimelineSound(path, 0.0, (right - left) / _fps(scene), left, strip.name, True, channel)


def record_timeline(scene, channel: str = MIX) -> TimelineSound:
    """All sound from the scene's first frame to its last, mixed down at once.

    Raises:
        HiSTalkError: nothing is audible there, Blender could not mix it down, or a mixdown has no such channel.
    """
    sounds = [strip for strip in sound_strips(scene) if strip.type == "SOUND"]
    others = any(obj.type == "SPEAKER" for obj in scene.objects) or (
        scene.sequence_editor and any(strip.type == "SCENE" for strip in scene.sequence_editor.strips_all)
    )
    if not sounds and not others:
        raise HiSTalkError(f"Scene '{scene.name}' has no sound: add a sound strip in the Video Sequencer.")
    reasons = [inaudible_reason(scene, strip) for strip in sounds]
    if not others and "" not in reasons:
        raise HiSTalkError(reasons[0])
    audible = [_visible_frames(strip) for strip, reason in zip(sounds, reasons, strict=True) if not reason]
    if not others and not any(left <= scene.frame_end and right > scene.frame_start for left, right in audible):
        frames = f"{scene.frame_start} to {scene.frame_end}"
        raise HiSTalkError(f"There is no sound strip in frames {frames}: set the scene's frame range to cover one.")
    duration = (scene.frame_end - scene.frame_start + 1) / _fps(scene)
    path = _mix_down(scene, scene.name, channel)
    return TimelineSound(path, 0.0, duration, scene.frame_start, scene.name, True, channel)


def _name(strip, name: str) -> str:
    return name if hasattr(strip, name) else OLDER_NAMES[name]


def _timing(strip, name: str) -> float:
    return getattr(strip, _name(strip, name))


def _fps(scene) -> float:
    return scene.render.fps / scene.render.fps_base


def _sounds(strip) -> list:
    if strip.type == "META":
        return [sound for child in strip.strips for sound in _sounds(child)]
    return [strip] if strip.type == "SOUND" else []


def _metas(strip) -> list:
    """The metas around a strip, outermost first."""
    meta = strip.parent_meta()
    return [*_metas(meta), meta] if meta else []


def _file(sound) -> Path:
    return Path(bpy.path.abspath(sound.filepath, library=sound.library))


def _visible_frames(strip) -> tuple[float, float]:
    """The first frame between the handles of a strip and of all metas around it, and the first after them."""
    around = [*_metas(strip), strip]
    return max(_timing(part, "left_handle") for part in around), min(_timing(part, "right_handle") for part in around)


def _segment(scene, strip) -> tuple[float, float, float]:
    """Start and duration in seconds of the audible part of a sound at its own speed, and the frame where it starts."""
    left, right = _visible_frames(strip)
    skipped = left - _timing(strip, "content_start") + _timing(strip, "content_trim_start")
    start = skipped / _fps(scene) - strip.sound_offset
    silence = max(0.0, -start)  # a handle before the start of the sound, or a sound offset to later
    return start + silence, (right - left) / _fps(scene) - silence, left + silence * _fps(scene)


def _sound_inaudible_reason(scene, strip) -> str:
    sound = strip.sound
    if sound is None:
        return f"Strip '{strip.name}' has no sound data: choose a file in the strip's Source panel."
    if not sound.packed_file and not _file(sound).is_file():
        return (
            f"Strip '{strip.name}' is missing its file '{_file(sound)}': use File › External Data › Find Missing Files."
        )
    if sound.samplerate == 0:
        return f"Blender cannot read the sound of strip '{strip.name}', '{sound.filepath}': export it again as WAV."
    above = scene.sequence_editor.channels
    for part in [*_metas(strip), strip]:
        if part.mute:
            return f"Strip '{part.name}' is muted: select it in the Video Sequencer and press Alt H."
        channel = above[part.channel]
        if channel.mute:
            return f"Channel '{channel.name}' of strip '{part.name}' is muted: tick its box left of the timeline."
        if getattr(part, "volume", 1.0) == 0 and not _volume_curves(scene, part):
            return f"The volume of strip '{part.name}' is 0: raise it in the strip's Sound panel."
        above = part.channels if part.type == "META" else None
    left, right = _visible_frames(strip)
    if left >= right:
        return (
            f"Strip '{strip.name}' is outside the visible part of its meta strip: extend that strip's handles over it."
        )
    start, duration, _ = _segment(scene, strip)
    trims = _timing(strip, "content_trim_start") + _timing(strip, "content_trim_end")
    whole = (_timing(strip, "content_duration") + trims) / _fps(scene)
    if not strip.retiming_keys and (duration <= 0 or start >= whole):
        return f"No sound is left between the handles of strip '{strip.name}': extend them over its sound."
    return ""


def _volume_curves(scene, strip) -> list:
    animation = scene.animation_data
    curves = [curve for bag in curve_bags(animation) for curve in bag.fcurves]
    path = f'["{bpy.utils.escape_identifier(strip.name)}"].volume'
    return [curve for curve in [*curves, *(animation.drivers if animation else [])] if curve.data_path.endswith(path)]


def _is_automated(scene, strip) -> bool:
    """Whether its speed or its volume is animated."""
    return bool(strip.retiming_keys) or any(_volume_curves(scene, part) for part in [*_metas(strip), strip])


@contextmanager
def _alone(scene, strip):
    """A temporary copy of the scene, of this strip's length, in which all other strips are muted."""
    copy = scene.copy()
    try:
        # Only the sequencer is needed: objects would be evaluated, and speakers would play.
        copy.background_set = None
        for members in (copy.collection.objects, copy.collection.children):
            for member in list(members):
                members.unlink(member)
        twin = copy.sequence_editor.strips_all[strip.name]
        metas = _metas(twin)
        for level in (copy.sequence_editor.strips, *(meta.strips for meta in metas)):
            for other in level:
                other.mute = other.mute or other not in (*metas, twin)
        left, right = _visible_frames(twin)
        if left < 0:  # strips may start before frame 0, scenes may not
            outermost = metas[0] if metas else twin
            name = _name(outermost, "content_start")
            setattr(outermost, name, getattr(outermost, name) - left)
            # Blender moves an overlapping strip to another channel, which may be muted.
            copy.sequence_editor.channels[outermost.channel].mute = False
            left, right = 0, right - left
        copy.frame_start, copy.frame_end = left, right - 1
        yield copy
    finally:
        bpy.data.scenes.remove(copy)


def _mix_down(scene, name: str, channel: str) -> Path:
    from ..audio.opening import LONGEST

    if channel not in (MIX, "left", "right"):
        raise HiSTalkError(f"'{name}' is mixed down to stereo and has no channel {channel}: choose left or right.")

    seconds = (scene.frame_end - scene.frame_start + 1) / _fps(scene)
    if seconds > LONGEST + 1:
        raise HiSTalkError(f"'{name}' is {seconds / 60:.0f} minutes long on the timeline: cut it to an hour or less.")
    folder = bpy.app.tempdir
    path = None
    try:
        handle, path = tempfile.mkstemp(".wav", "histalk-", folder)
        os.close(handle)
        with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
            # 48 kHz, as most sounds are: resampling is ten times slower. Speed and volume are updated every `accuracy`
            # samples; Blender's default of 1024 shifts what follows a change of speed.
            bpy.ops.sound.mixdown(
                filepath=path,
                check_existing=False,
                relative_path=False,
                container="WAV",
                codec="PCM",
                format="S16",
                mixrate=48_000,
                channels="MONO" if channel == MIX else "STEREO",
                accuracy=128,
            )
        if Path(path).stat().st_size == 0:  # Blender 5.2 raises nothing
            raise OSError("nothing was written")
    except (RuntimeError, OSError) as error:
        if path:
            Path(path).unlink(missing_ok=True)
        why = " ".join(str(error).split())
        raise HiSTalkError(
            f"Blender could not mix down '{name}' ({why}): check the free space in '{folder}'."
        ) from error
    return Path(path)
