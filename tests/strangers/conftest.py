"""Other people's files, scenes and attacks: one file for each kind of fault."""

from stage import blender, scene, voice  # noqa: F401
