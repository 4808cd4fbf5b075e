"""An animator's scene for every test of the add-on."""

from stage import blender, scene, voice  # noqa: F401
