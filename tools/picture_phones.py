"""Render the teacher's mouth: phones in context, and spoken clips of a corpus as strips of frames beside their phones.

    pip install pillow==12.0.0 && python tools/picture_phones.py phones.png "AA p AA" "IY M UW" "W AY t"
    python tools/picture_phones.py clip.png CORPUS/real-kathleen.jsonl 12 0.5 1.7

The phones in lower case are drawn, front above and three-quarter below, diphthongs at both parts; --face shows it whole.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from histalk_blender.bake.scene import add_head, use_workbench
from histalk_blender.head import Head, load_head
from histalk_blender.quiet import quiet
from histalk_blender.training.phones import DIPHTHONGS
from histalk_blender.training.teacher import unit_track

FPS = 30.0
CONSONANT, VOWEL, DIPHTHONG = 0.08, 0.12, 0.20  # seconds
SIDE, COLUMNS, LABEL = 200, 8, 20
ANGLES = (0.0, 40.0)  # degrees


def spoken(sequence: str) -> tuple[list, float, list[tuple[str, float]]]:
    """"AA p AA" -> its phones with times, their length, and (label, time) of what is to be drawn."""
    names = sequence.split()
    phones, moments, at = [["SIL", 0.0, 0.3]], [], 0.3
    for i, name in enumerate(names):
        phone = name.upper()
        length = DIPHTHONG if phone in DIPHTHONGS else VOWEL if phone[0] in "AEIOU" else CONSONANT
        phones.append([phone, at, at + length])
        if name.islower():
            label = " ".join([*names[:i], f"[{phone}]", *names[i + 1 :]])
            places = (0.3, 0.85) if phone in DIPHTHONGS else (0.5,)
            moments += [(label, at + place * length) for place in places]
        at += length
    return [*phones, ["SIL", at, at + 0.4]], at + 0.4, moments


def clip_tiles(table: Path, row: int, start: float, end: float) -> tuple[np.ndarray, list[str]]:
    """Unit weights [T, 52] and labels of a corpus clip's frames between two seconds."""
    clip = [json.loads(line) for line in table.open()][row]
    sound = np.load(table.with_suffix(".i16.npy"), mmap_mode="r")[clip["offset"] : clip["offset"] + clip["samples"]]
    track = unit_track(clip["phones"], len(sound) / 16_000, sound.astype(np.float32) / 32768, FPS)
    frames = range(round(start * FPS), min(round(end * FPS), len(track)))
    at = [next((p for p, a, b in clip["phones"] if a <= frame / FPS < b), "SIL") for frame in frames]
    return track[frames.start : frames.stop], [f"{frame / FPS:.2f} {phone}" for frame, phone in zip(frames, at)]


class Camera:
    """The bundled head under a lamp of the viewport, seen close."""

    def __init__(self, head: Head, whole_face: bool):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.head, self.object = head, add_head(head)
        use_workbench(bpy.context.scene, SIDE)
        bpy.context.scene.view_settings.view_transform = "Standard"
        marks = head.landmarks(head.vertices)
        self.middle = (marks[8] + marks[27]) / 2 + [0, 0.03, 0] if whole_face else marks[[48, 54]].mean(0) - [0, 0, 0.01]
        self.eye = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        self.eye.data.lens = 100 if whole_face else 240
        bpy.context.scene.collection.objects.link(self.eye)
        bpy.context.scene.camera = self.eye

    def picture(self, weights: np.ndarray, degrees: float, path: Path) -> Image.Image:
        """[52] -> a tile."""
        vertices = self.head.vertices + self.head.pose(weights[None])[0]
        self.object.data.vertices.foreach_set("co", vertices.ravel())
        self.object.data.update()
        angle, distance = math.radians(degrees), 0.6
        x, y, z = self.middle
        self.eye.location = (x + distance * math.sin(angle), y - distance * math.cos(angle), z)
        self.eye.rotation_euler = (math.pi / 2, 0, angle)
        bpy.context.scene.render.filepath = str(path)
        with quiet(1):
            bpy.ops.render.render(write_still=True)
        return Image.open(path).convert("RGB")


def main() -> None:
    """Write the sheet."""
    out, *wanted = sys.argv[1:]
    whole_face = "--face" in wanted
    wanted = [item for item in wanted if item != "--face"]
    if wanted[0].endswith(".jsonl"):
        weights, labels = clip_tiles(Path(wanted[0]), int(wanted[1]), float(wanted[2]), float(wanted[3]))
    else:
        weights, labels = [], []
        for sequence in wanted:
            phones, seconds, moments = spoken(sequence)
            track = unit_track(phones, seconds, fps=FPS * 4)
            weights += [track[round(time * FPS * 4)] for _, time in moments]
            labels += [label for label, _ in moments]
    camera, font = Camera(load_head(), whole_face), ImageFont.load_default(14)
    height = SIDE * len(ANGLES) + LABEL
    sheet = Image.new("RGB", (SIDE * COLUMNS, height * -(-len(labels) // COLUMNS)), "white")
    draw = ImageDraw.Draw(sheet)
    with tempfile.TemporaryDirectory() as folder:
        for i, (pose, label) in enumerate(zip(weights, labels)):
            x, y = SIDE * (i % COLUMNS), height * (i // COLUMNS)
            for k, degrees in enumerate(ANGLES):
                sheet.paste(camera.picture(pose, degrees, Path(folder, "tile.png")), (x, y + k * SIDE))
            draw.text((x + SIDE / 2, y + height - LABEL / 2), label, "black", font, anchor="mm")
    sheet.save(out)


if __name__ == "__main__":
    main()
