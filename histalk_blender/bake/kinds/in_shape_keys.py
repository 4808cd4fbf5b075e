"""What kinds have in common that put a bake into shape keys."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .base import BakeKind

if TYPE_CHECKING:
    from ..data import BakeData
    from ..key_writer import NewKey


class InShapeKeys(BakeKind):
    """Keys, or curves on keys, in the mesh's data.

    adds: what the bake adds to the mesh, for messages.
    """

    adds: str

    @property
    def storage(self):
        from ..key_storage import KEY_STORAGE

        return KEY_STORAGE

    def check_target(self, obj, settings) -> None:
        from ..savable import check_keys_savable

        check_keys_savable(obj, self.adds)

    def warnings(self, obj, data) -> list[str]:
        """All objects of a mesh have its keys."""
        users = obj.data.users
        if users == 1:
            return []
        return [f"Mesh '{obj.data.name}' is shared, so {users} objects speak: make it single-user."]


class NewKeys(InShapeKeys):
    """Shape keys that the bake makes.

    slider_min: the least value of one.
    """

    adds = "new shape keys"
    slider_min = 0.0

    @abstractmethod
    def new_keys(self, data: BakeData, first: int, last: int) -> Iterator[NewKey]:
        """The keys to make, from a first to a last number, exclusive; there are `key_count` of them."""

    def apply(self, obj, data):
        from functools import partial

        from ..key_writer import write_new_keys

        count = self.key_count(data)
        return write_new_keys(obj, data.plan.rest_positions, count, partial(self.new_keys, data), self.slider_min)

    def content(self, data) -> str:
        return f"{self.key_count(data)} shape keys"
