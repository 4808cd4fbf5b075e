"""Blender's entry to the extension."""


def register() -> None:
    """Add HiSTalk to Blender."""
    from .histalk_blender import addon

    addon.register()


def unregister() -> None:
    """Take all of it away again."""
    from .histalk_blender import addon

    addon.unregister()
