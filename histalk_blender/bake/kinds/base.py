"""The class that every kind of bake extends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ...motion.motion import Motion
from ...settings import Setting

if TYPE_CHECKING:
    from ...synthesis import Performance
    from ..data import BakeData, BakePlan
    from ..settings import BakeSettings
    from ..storage import BakeStorage


class BakeKind(ABC):
    """One way to put motion into a scene: see `pipeline` for the order in which the methods are called.

    Blender's module may be imported inside methods only, as the command line lists the kinds without it. `retarget` and
    `compute` run in a thread beside Blender, so they must not touch it.

    name: on the command line, in manifests and in Python.
    label, description: in the panel and in help.
    number: stored in a .blend, so it is never changed nor given to another kind.
    options: the kind's own numbers: a property of the panel, a flag and a column of manifests each.
    needs_topology: it bakes only on heads whose vertices are known; else on any mesh.
    needs_arkit_keys: it animates shape keys with ARKit's names, which the mesh must have.
    exports_morphs: glTF and FBX can play it.
    output: the output of a batch that the bake itself writes beside the .blend; "" = none.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    description: ClassVar[str]
    number: ClassVar[int]
    options: ClassVar[tuple[Setting, ...]] = ()
    needs_topology: ClassVar[bool] = True
    needs_arkit_keys: ClassVar[bool] = False
    exports_morphs: ClassVar[bool] = False
    output: ClassVar[str] = ""

    @property
    @abstractmethod
    def storage(self) -> BakeStorage:
        """Where its bakes are kept in the scene."""

    def draw(self, layout: Any, settings: Any, note: Callable[[Any, str], None]) -> None:
        """Draw its rows in the panel.

        Args:
            layout: of Blender.
            settings: the head's, see `addon.properties`; `settings.id_data` is the object.
            note: called with a layout and a sentence to show there.
        """
        for option in self.options:
            layout.prop(settings, option.name)

    def check_target(self, obj: Any, settings: BakeSettings) -> None:  # noqa: B027  # most kinds accept any
        """Refuse an object that cannot carry the bake; cheap enough for every redraw.

        Raises:
            HiSTalkError: it cannot, with the reason.
        """

    def read_target(self, obj: Any, settings: BakeSettings) -> Any:
        """Whatever else of the scene the kind needs to know, for `BakePlan.target`."""
        return None

    def resolve(self, settings: BakeSettings, target: Any) -> BakeSettings:
        """The settings with which another bake has the same target, whatever changes on the object."""
        return settings

    def retarget(self, plan: BakePlan, performance: Performance) -> tuple[Motion, float]:
        """The styled motion of the plan's mesh, and by how many millimetres it misses the predicted one."""
        return performance.retarget(plan.topology, plan.rest_positions, plan.settings.style), 0.0

    def compute(self, data: BakeData, step: Callable[[float], None]) -> BakeData:
        """Do all of the bake that can be done away from the scene.

        Args:
            data: with the motion at the scene's rate and in its place.
            step: called with the share done; what it raises ends the work, and must leave no file.

        Raises:
            HiSTalkError: the motion cannot be baked so.
        """
        return data

    @abstractmethod
    def apply(self, obj: Any, data: BakeData) -> Iterator[float]:
        """Put the bake into the scene in place of an older one, in slices short enough to draw between them.

        Nothing that plays changes before the last slice; a generator that is closed earlier removes what it made.

        Yields:
            The share done.
        """

    def expected_motion(self, obj: Any, data: BakeData) -> Motion:
        """How the mesh must move now; it is compared with the evaluated mesh."""
        return data.motion

    def warnings(self, obj: Any, data: BakeData) -> list[str]:
        """Sentences for what of the motion, or of the animator's own work, is not seen with this bake."""
        return []

    @abstractmethod
    def key_count(self, data: BakeData) -> int:
        """The shape keys that it made or can move."""

    @abstractmethod
    def content(self, data: BakeData) -> str:
        """What is in the scene now, in words."""

    def accuracy(self, data: BakeData) -> str:
        """How far that is from the predicted motion, in words; "" where nothing is lost."""
        return ""
