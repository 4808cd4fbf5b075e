"""Other people's files, scenes and attacks: one file for each kind of fault."""

from importlib.util import find_spec

if find_spec("bpy"):
    from stage import blender, scene, voice  # noqa: F401
