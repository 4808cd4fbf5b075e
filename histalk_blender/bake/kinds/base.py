"""What every kind of bake says of itself."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar

from ...settings import Setting


class BakeKind(ABC):
    """One way to put motion into a scene.

    A subclass sets the attributes below. Blender's module may be imported inside methods only: the command line lists
    the kinds without it.
    """

    name: ClassVar[str]  # on the command line, in manifests and in Python
    label: ClassVar[str]  # in the panel
    description: ClassVar[str]  # tooltip and help
    number: ClassVar[int]  # stored in a .blend, so never changed nor given to another kind
    options: ClassVar[tuple[Setting, ...]] = ()  # its own numbers: a property of the panel, a flag and a column each

    needs_topology: ClassVar[bool] = True  # only heads whose vertices are known; else any mesh
    needs_arkit_keys: ClassVar[bool] = False  # the mesh has shape keys with ARKit names, which the bake animates
    exports_morphs: ClassVar[bool] = False  # glTF and FBX can play it
    output: ClassVar[str] = ""  # the output of a batch that the bake itself writes beside the .blend, say "pc2"

    def draw(self, layout: Any, settings: Any, note: Callable[[Any, str], None]) -> None:
        """Its rows in the panel.

        Args:
            layout: of Blender.
            settings: the head's, see `addon.properties`; `settings.id_data` is the object.
            note: called with a layout and a sentence to show there.
        """
        for option in self.options:
            layout.prop(settings, option.name)
