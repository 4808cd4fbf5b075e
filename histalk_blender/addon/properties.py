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
from ..head.arkit import ARKIT_BLENDSHAPES
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
    """An ARKit blendshape, whether a bake animates it, and the shape key that plays it."""

    name: StringProperty(name="Blendshape")
    use: BoolProperty(
        name="Use", default=True, description="Animate this blendshape; when off, its shape key is left unchanged"
    )
    key: StringProperty(
        name="Shape Key", description="Shape key that plays this blendshape; empty = the one with its name"
    )


class HiSTalkSettings(SettingProperties, bpy.types.PropertyGroup):
    """Settings of one head: its sound, style and bake."""

    audio: EnumProperty(
        name="Audio",
        items=(
            ("STRIP", "Strip", "One sound or meta strip of the Video Sequencer, as it plays on the timeline"),
            ("TIMELINE", "Timeline", "All sound in the scene's frame range, for dialogue cut into many strips"),
            ("FILE", "File", "A sound file, starting at the frame below"),
        ),
        default="STRIP",
    )
    scene: PointerProperty(
        type=bpy.types.Scene,
        name="Scene",
        poll=_is_mesh_scene,
        description="Scene with the sound in its sequencer; empty = the one that the Video Sequencer shows",
    )
    strip: StringProperty(name="Strip", description="Strip with the speech; empty = the active strip")
    file: StringProperty(
        name="File",
        subtype="FILE_PATH",
        description="Sound file: WAV, FLAC, OGG, MP3, or any other that Blender reads (m4a, mp4, mov, mkv ...)",
    )
    file_frame: IntProperty(name="Start Frame", default=1, description="Scene frame at which the file starts")
    channel: EnumProperty(
        name="Channel",
        items=(
            ("mix", "Mix", "All channels mixed"),
            (
                "left",
                "Left",
                "Left channel, for two speakers in one stereo recording; the only channel of a mono sound",
            ),
            (
                "right",
                "Right",
                "Right channel, for two speakers in one stereo recording; the only channel of a mono sound",
            ),
            ("number", "Number", "A channel by its number, for recordings with many microphones"),
        ),
        default=MIX,
        description="Channel of the sound with the speech",
    )
    channel_number: IntProperty(
        name="Number", default=1, min=1, max=MOST, description="Number of the channel, starting at 1"
    )

    in_seconds: BoolProperty(options={"HIDDEN"}, description="Smoothing and delay are in seconds; see upgrade.py")

    device: EnumProperty(
        name="Device",
        items=(
            ("auto", "Automatic", "The CUDA GPU if there is one, otherwise the CPU"),
            ("cpu", "CPU", "Run on the processor"),
            ("cuda", "CUDA", "Run on an NVIDIA GPU"),
        ),
        default="auto",
    )
    weights: StringProperty(
        name="Weights",
        subtype="FILE_PATH",
        description="A .safetensors checkpoint of your own; empty = the bundled one",
    )

    kind: EnumProperty(
        name="Bake As",
        items=[(kind.name, kind.label, kind.description, kind.number) for kind in KINDS],
        default=KINDS[0].name,
    )
    cache_folder: StringProperty(
        name="Folder", subtype="DIR_PATH", description="Folder for the cache file; empty = next to the saved .blend"
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
        for unit in ARKIT_BLENDSHAPES:
            row = self.unit_keys.add()
            row.name, row.key, row.use = unit, mapping.get(unit) or "", mapping.get(unit, "") is not None


CLASSES = (HiSTalkUnitKey, HiSTalkSettings)
