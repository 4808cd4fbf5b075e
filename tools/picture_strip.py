"""Render the README's picture: the bundled head at eight phones of the bundled sentence.

pip install pillow==12.0.0 && python tools/picture_strip.py docs/speaking.png [WEIGHTS]
"""

from __future__ import annotations

import sys
from pathlib import Path

from faces import Stage, face_of
from PIL import Image, ImageDraw, ImageFont

from histalk_blender.audio.clip import read_audio
from histalk_blender.head.head import load_head
from histalk_blender.network import load_checkpoint
from histalk_blender.synthesis import WEIGHTS, synthesize
from histalk_blender.training.corpus.align import Aligner
from histalk_blender.training.corpus.shards import at_16k

SPEECH = Path(__file__).parents[1] / "tests" / "data" / "speech.flac"
WORDS = "if this is the person you are looking for press one now otherwise please press star now".split()
# (phone, its place among the sentence's phones of that name, the word with the phone in brackets)
SHOWN = (
    ("F", 0, "i[f]"),
    ("DH", 0, "[th]is"),
    ("P", 0, "[p]erson"),
    ("UW", 0, "y[ou]"),
    ("AO", 0, "f[o]r"),
    ("P", 1, "[p]ress"),
    ("W", 0, "[w]on (one)"),
    ("AW", 0, "n[ow]"),
)
SIDE, COLUMNS = 352, 4


def main() -> None:
    """Write the strip."""
    out, weights = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else WEIGHTS
    samples, head = read_audio(SPEECH), load_head()
    motion = synthesize(samples, load_checkpoint(weights), head).motion
    phones = Aligner().align(at_16k(samples, 16_000), WORDS)
    # As near as a face is in a dialogue scene.
    stage = Stage(head, SIDE, 135, face_of(head) + [0, 0.02, 0.005], distance=0.75)
    rows = -(-len(SHOWN) // COLUMNS)
    strip = Image.new("RGB", (SIDE * COLUMNS, (SIDE + 34) * rows), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(22)
    for i, (name, place, label) in enumerate(SHOWN):
        _, start, end = [row for row in phones if row[0] == name][place]
        frame = round((start + 0.4 * (end - start)) * motion.fps)
        x, y = SIDE * (i % COLUMNS), (SIDE + 34) * (i // COLUMNS)
        strip.paste(stage.picture(motion.displacements(frame, frame + 1)[0], degrees=18), (x, y))
        draw.text((x + SIDE / 2, y + SIDE + 17), label, "black", font, anchor="mm")
    out.parent.mkdir(exist_ok=True)
    strip.quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    main()
