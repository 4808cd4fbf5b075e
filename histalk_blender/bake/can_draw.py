"""Run as a script: ends well where Blender can draw without a screen."""

import os

import bpy

bpy.context.scene.render.engine = "BLENDER_WORKBENCH"
bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = 8
bpy.ops.render.render()
os._exit(0)
