"""HiSTalk: speech in, 3D facial animation out (HSF2S and S2D), for Blender and the command line."""

__version__ = "0.1.0"
