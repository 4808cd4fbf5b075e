"""What the pictures share: the bundled head in front of a camera, drawn by Workbench."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import bpy
import numpy as np
from PIL import Image

from histalk_blender.bake.scene import add_head
from histalk_blender.head.head import Head
from histalk_blender.runtime.output import silence_fd


class Stage:
    """The head under a lamp of the viewport, before a camera that is turned around it."""

    def __init__(self, head: Head, size: int, lens: float, middle: np.ndarray, distance: float = 0.6):
        """`size`: pixels of a picture's sides; `lens`: millimetres; `middle`: what is looked at [3]; metres."""
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        scene.render.engine = "BLENDER_WORKBENCH"
        shading = scene.display.shading
        shading.light, shading.color_type, shading.show_cavity = "STUDIO", "MATERIAL", True
        scene.render.resolution_x = scene.render.resolution_y = size
        scene.view_settings.view_transform = "Standard"
        scene.world = bpy.data.worlds.new("World")
        self.head, self.object, self.middle, self.distance = head, add_head(head), middle, distance
        self.eye = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        self.eye.data.lens = lens
        scene.collection.objects.link(self.eye)
        scene.camera = self.eye
        self.folder = tempfile.TemporaryDirectory()

    def picture(self, displacements: np.ndarray, degrees: float = 0.0) -> Image.Image:
        """Displacements [V, 3] in metres, seen from so far to the head's left."""
        self.object.data.vertices.foreach_set("co", (self.head.vertices + displacements).ravel())
        self.object.data.update()
        angle = math.radians(degrees)
        x, y, z = self.middle
        self.eye.location = (x + self.distance * math.sin(angle), y - self.distance * math.cos(angle), z)
        self.eye.rotation_euler = (math.pi / 2, 0, angle)
        scene, path = bpy.context.scene, Path(self.folder.name, "tile.png")
        scene.render.filepath = str(path)
        with silence_fd(1):
            bpy.ops.render.render(write_still=True)
        return Image.open(path).convert("RGB")


def face_of(head: Head) -> np.ndarray:
    """The middle of the face [3], for a camera that sees all of it."""
    marks = head.landmarks(head.vertices)
    return (marks[8] + marks[27]) / 2 + [0, 0.03, 0]


def mouth_of(head: Head) -> np.ndarray:
    """A little below the corners of the mouth [3]."""
    return head.landmarks(head.vertices)[[48, 54]].mean(0) - [0, 0, 0.01]
