"""What an animator chooses for one head; saved with it in the .blend."""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..audio.channels import MIX, MOST, read_channel
from ..bake.kinds import KINDS, kind_options
from ..head.arkit import ARKIT_UNITS
from ..motion.style import Style
from ..settings import Setting, settings_of
from . import upgrade


def number_property(setting: Setting, update=None):
    """The panel's property of a setting. It cannot be animated, as a bake reads one value for all frames."""
    low, high = setting.usual or (setting.minimum, setting.maximum)
    return FloatProperty(
        name=setting.label_with_unit,
        description=setting.description,
        default=setting.default,
        min=setting.minimum,
        max=setting.maximum,
        soft_min=low,
        soft_max=high,
        subtype="NONE" if setting.unit else "FACTOR",
        precision=3 if setting.unit else 2,
        step=1,
        options=set(),
        update=update,
    )


def _style_property(setting: Setting):
    def changed(self, context) -> None:
        from .session import get_session

        upgrade.upgrade(self, written=setting.name)
        get_session().live_style.schedule(self.id_data)

    return number_property(setting, changed)


class SettingProperties:
    """A property for each field of `Style` and for each option of the kinds of bake."""

    __annotations__ = {item.name: _style_property(item) for item in settings_of(Style)} | {
        item.name: number_property(item) for item in kind_options()
    }

    def style(self) -> Style:
        """The sliders as the pipeline takes them."""
        return Style(**{item.name: upgrade.read(self, item.name) for item in settings_of(Style)})

    def options(self) -> dict[str, float]:
        """The values of all kinds' options."""
        return {item.name: getattr(self, item.name) for item in kind_options()}


def _is_mesh_scene(self, scene) -> bool:
    return scene.sequence_editor is not None


class HiSTalkUnitKey(bpy.types.PropertyGroup):
    """An ARKit unit, whether speech moves it, and the shape key that shows it."""

    name: StringProperty(name="Unit")
    use: BoolProperty(
        name="Use", default=True, description="Let speech move this unit; off leaves its shape key to you"
    )
    key: StringProperty(name="Shape Key", description="Shape key that shows this unit; empty = the one of its name")


class HiSTalkSettings(SettingProperties, bpy.types.PropertyGroup):
    """How one head speaks, and how that is baked."""

    audio: EnumProperty(
        name="Audio",
        items=(
            ("STRIP", "Strip", "One sound or meta strip of the sequencer, as it is heard on the timeline"),
            ("TIMELINE", "Timeline", "All that is heard in the scene's frame range, for dialogue cut into many strips"),
            ("FILE", "File", "A sound file, from the frame below"),
        ),
        default="STRIP",
    )
    scene: PointerProperty(
        type=bpy.types.Scene,
        name="Scene",
        poll=_is_mesh_scene,
        description="Scene whose sequencer holds the sound; empty = the one that the sequencer shows",
    )
    strip: StringProperty(name="Strip", description="Strip to speak; empty = the active one")
    file: StringProperty(
        name="File",
        subtype="FILE_PATH",
        description="Sound file: wav, flac, ogg, mp3, or what else Blender reads (m4a, mp4, mov, mkv ...)",
    )
    file_frame: IntProperty(name="Start Frame", default=1, description="Scene frame at which the file begins")
    channel: EnumProperty(
        name="Channel",
        items=(
            ("mix", "Mix", "All channels mixed"),
            ("left", "Left", "The left channel, for two speakers in stereo; the only one where there is one"),
            ("right", "Right", "The right channel, for two speakers in stereo; the only one where there is one"),
            ("number", "Number", "A channel by its number, for recordings of many microphones"),
        ),
        default=MIX,
        description="Which channel of the sound is spoken",
    )
    channel_number: IntProperty(name="Number", default=1, min=1, max=MOST, description="Channel to speak, from 1")

    in_seconds: BoolProperty(options={"HIDDEN"}, description="Smoothing and delay are in seconds; see upgrade.py")

    device: EnumProperty(
        name="Device",
        items=(
            ("auto", "Automatic", "The CUDA GPU where there is one, else the CPU"),
            ("cpu", "CPU", "The processor"),
            ("cuda", "CUDA", "The CUDA GPU"),
        ),
        default="auto",
    )
    weights: StringProperty(
        name="Weights", subtype="FILE_PATH", description="A .safetensors checkpoint of yours; empty = the bundled one"
    )

    kind: EnumProperty(
        name="Bake As",
        items=[(kind.name, kind.label, kind.description, kind.number) for kind in KINDS],
        default=KINDS[0].name,
    )
    cache_folder: StringProperty(
        name="Folder", subtype="DIR_PATH", description="Where the cache goes; empty = beside the saved .blend"
    )
    use_range: BoolProperty(name="Frame Range", description="Bake only these frames")
    first: IntProperty(name="First", default=1, description="First frame to bake")
    last: IntProperty(name="Last", default=250, description="Last frame to bake")
    unit_keys: CollectionProperty(type=HiSTalkUnitKey)

    report: StringProperty(name="Last Bake")
    warnings: StringProperty(name="Warnings", description="One a line")

    def spoken_channel(self) -> str:
        """As `channels.read_channel` writes it."""
        return read_channel(self.channel_number if self.channel == "number" else self.channel)

    def mapping(self) -> dict[str, str | None]:
        """Unit -> shape key, for the units whose key the animator named; None for those to leave alone."""
        return {item.name: item.key if item.use else None for item in self.unit_keys if item.key or not item.use}

    def set_mapping(self, mapping: dict[str, str | None]) -> None:
        """A row for every unit, with the keys of a mapping."""
        self.unit_keys.clear()
        for unit in ARKIT_UNITS:
            row = self.unit_keys.add()
            row.name, row.key, row.use = unit, mapping.get(unit) or "", mapping.get(unit, "") is not None


CLASSES = (HiSTalkUnitKey, HiSTalkSettings)
