"""One clip: its sound, its head, how the head is animated, and what is written of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..audio.channels import MIX
from ..bake.kinds import KINDS, kind_named, kind_options
from ..bake.settings import BakeSettings
from ..motion.style import Style
from ..settings import chosen
from .output_kinds import output_kind

FPS = 30.0  # frames a second where a job names no rate and has no shot


@dataclass(frozen=True)
class Job:
    """One row of a manifest, with what it leaves out filled in from the command line.

    row: in the manifest, from 1; the header of a .csv does not count.
    name: of the outputs, below the output folder, without a suffix.
    shot: the .blend whose `object` is baked on, "" = its only head; None = the bundled head in a scene of its own.
    start: scene frame where speech begins.
    frames: first and last scene frame to bake; None = all.
    fps: frames a second of the outputs; None = the shot's own, or 30.
    bake: name of a kind of bake; "" = what the outputs need.
    options: of the kinds of bake.
    mapping: ARKit blendshape -> shape key of the object, where names differ.
    channel: of the sound, see `channels.read_channel`.
    discard_edits: replace an earlier bake in the shot even if it was edited by hand.
    problems: what is wrong with the row; then nothing is done.
    """

    row: int = 0
    name: str = ""
    audio: Path = Path()
    shot: Path | None = None
    object: str = ""
    start: int = 1
    frames: tuple[int, int] | None = None
    fps: float | None = None
    bake: str = ""
    options: Mapping[str, float] = field(default_factory=lambda: chosen(kind_options(), {}))
    mapping: Mapping[str, str | None] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("pc2",)
    channel: str = MIX
    style: Style = Style()
    discard_edits: bool = False
    problems: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_baked(self) -> bool:
        """Whether an output is made of a baked head, and not of the motion alone."""
        return any(output_kind(name).needs_blender for name in self.outputs)

    @property
    def baked_output(self) -> str:
        """The kind of output that the bake itself writes; "" for none."""
        return kind_named(self.bake).output if self.bake and self.is_baked else ""

    @property
    def needs_blender(self) -> bool:
        """Whether Blender's module must be there."""
        return self.is_baked or self.shot is not None

    def bake_settings(self, cache: Path | None) -> BakeSettings:
        """As the bake takes them.

        Args:
            cache: the file of a bake that writes one.
        """
        return BakeSettings(
            kind=self.bake or KINDS[0].name,
            options=self.options,
            style=self.style,
            start_frame=self.start,
            frames=self.frames,
            ease=self.shot is not None,
            cache=cache,
            mapping=self.mapping,
            discard_edits=self.discard_edits,
        )

    def written_frames(self, count: int) -> tuple[int, int]:
        """First and last scene frame of a film or an export, of a clip that is `count` frames long."""
        return self.frames or (self.start, self.start + count - 1)

    def files(self) -> dict[str, str]:
        """Kind -> the file of it, below the output folder; also the cache that a .blend or an export plays."""
        names = dict.fromkeys([*self.outputs, *filter(None, [self.baked_output])])
        return {name: output_kind(name).file(self.name) for name in names}

    def pictures(self) -> tuple[str, str]:
        """The report's two of this clip, below the folder of pictures."""
        return f"{self.name}.png", f"{self.name}.svg"

    def settings(self) -> dict:
        """Everything that decides the content of the outputs, apart from the sound and the shot; for the ledger."""
        own = {name: getattr(self, name) for name in ("object", "start", "fps", "bake")}
        own |= {"outputs": list(self.outputs), "on": "a .blend" if self.shot else "the bundled head"}
        if self.channel != MIX:
            own["channel"] = self.channel
        if self.frames:
            own["frames"] = list(self.frames)
        if self.mapping:
            own["mapping"] = dict(self.mapping)
        return own | dict(self.options) | asdict(self.style)

    def has_settings(self, recorded: str) -> bool:
        """Whether a ledger recorded these settings; a setting that an older version did not have had its default."""
        try:
            return Job().settings() | json.loads(recorded) == self.settings()
        except (ValueError, TypeError, RecursionError):
            return False
