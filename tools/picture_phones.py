"""Render the teacher's mouth: phones in context, and spoken clips of a corpus as strips of frames beside their phones.

    pip install pillow==12.0.0 && python tools/picture_phones.py phones.png "AA p AA" "IY M UW" "W AY t"
    python tools/picture_phones.py clip.png CORPUS/real-kathleen.jsonl 12 0.5 1.7

The phones in lower case are drawn, front above and three-quarter below, diphthongs at both parts; --face shows the
whole face.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from faces import Stage, face_of, mouth_of
from PIL import Image, ImageDraw, ImageFont

from histalk_blender.head.head import load_head
from histalk_blender.training.teacher.coarticulation import arkit_track
from histalk_blender.training.teacher.phones import DIPHTHONGS

FPS = 30.0
CONSONANT, VOWEL, DIPHTHONG = 0.08, 0.12, 0.20  # seconds
SIDE, COLUMNS, LABEL = 200, 8, 20
ANGLES = (0.0, 40.0)  # degrees


def spoken(sequence: str) -> tuple[list, float, list[tuple[str, float]]]:
    """ "AA p AA" -> its phones with times, their length, and (label, time) of what is to be drawn."""
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
    """ARKit weights [T, 52] and labels of a corpus clip's frames between two seconds."""
    clip = [json.loads(line) for line in table.open()][row]
    sound = np.load(table.with_suffix(".i16.npy"), mmap_mode="r")[clip["offset"] : clip["offset"] + clip["samples"]]
    track = arkit_track(clip["phones"], len(sound) / 16_000, sound.astype(np.float32) / 32768, FPS)
    frames = range(round(start * FPS), min(round(end * FPS), len(track)))
    at = [next((p for p, a, b in clip["phones"] if a <= frame / FPS < b), "SIL") for frame in frames]
    return track[frames.start : frames.stop], [f"{frame / FPS:.2f} {phone}" for frame, phone in zip(frames, at)]


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
            track = arkit_track(phones, seconds, fps=FPS * 4)
            weights += [track[round(time * FPS * 4)] for _, time in moments]
            labels += [label for label, _ in moments]
    head, font = load_head(), ImageFont.load_default(14)
    stage = Stage(head, SIDE, 100, face_of(head)) if whole_face else Stage(head, SIDE, 240, mouth_of(head))
    height = SIDE * len(ANGLES) + LABEL
    sheet = Image.new("RGB", (SIDE * COLUMNS, height * -(-len(labels) // COLUMNS)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (pose, label) in enumerate(zip(weights, labels)):
        x, y = SIDE * (i % COLUMNS), height * (i // COLUMNS)
        for k, degrees in enumerate(ANGLES):
            sheet.paste(stage.picture(head.pose(pose[None])[0], degrees), (x, y + k * SIDE))
        draw.text((x + SIDE / 2, y + height - LABEL / 2), label, "black", font, anchor="mm")
    sheet.save(out)


if __name__ == "__main__":
    main()
