"""Whether a bake would be there again when the file is opened anew: what is linked or overridden keeps little."""

from __future__ import annotations

from pathlib import Path

from ..errors import HiSTalkError


def check_keys_savable(obj, what: str) -> None:
    """Refuse shape keys or curves on them that Blender would not save, or would play at another time.

    A library override keeps new modifiers, so a mesh cache; the keys of a linked or overridden mesh are the library's.

    Args:
        obj: a mesh object that is not linked itself, see `targets.check_object`.
        what: the bake adds to it, for the message.

    Raises:
        HiSTalkError: it cannot be saved, with the kind of bake that can.
    """
    mesh, keys = obj.data, obj.data.shape_keys
    source = _source(mesh) or _source(keys)
    if source:
        raise HiSTalkError(
            f"The mesh of '{obj.name}' comes from '{source}', so {what} would be lost when this file is opened again: "
            "bake as a mesh cache, or make the mesh local."
        )
    animation = keys.animation_data if keys else None
    if animation is None:
        return
    if animation.use_tweak_mode:
        raise HiSTalkError(
            f"An NLA strip of the shape keys of '{obj.name}' is in tweak mode, where a bake would play at the strip's "
            "own time: press Tab in the NLA Editor to leave it, then bake, or bake as a mesh cache."
        )
    if source := _source(animation.action):
        raise HiSTalkError(
            f"Action '{animation.action.name}' on the shape keys of '{obj.name}' is linked from '{source}' and takes "
            "no curves: make it local, or bake as a mesh cache."
        )


def _source(block) -> str:
    """The file that a linked or overridden data-block comes from, or ""."""
    if block is None:
        return ""
    if block.library:
        return _name(block.library)
    if block.override_library and block.override_library.reference:
        return _name(block.override_library.reference.library)
    return ""


def _name(library) -> str:
    return Path(library.filepath.replace("\\", "/")).name if library else "another file"
