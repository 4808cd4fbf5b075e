"""Draw the teacher above the network on three held-out sentences: faces, phones, lip openings; with --film a film.

    pip install pillow==12.0.0
    python tools/picture_side_by_side.py --corpus DIR --weights W --out docs/side_by_side.png [--film /tmp/film.mp4]

The film holds the voices of real people, whose recordings may not be redistributed: do not commit one.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import soundfile as sf
from faces import Stage, face_of, mouth_of
from PIL import Image, ImageDraw, ImageFont

from histalk_blender.audio import SAMPLE_RATE
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.head import Head, lip_opening
from histalk_blender.network import load_checkpoint
from histalk_blender.synthesis import WEIGHTS
from histalk_blender.training.datasets import Recording, open_data_set
from histalk_blender.training.evaluation.evaluate import network
from histalk_blender.training.teacher.lips import CLOSED
from histalk_blender.training.teacher.phones import BILABIALS, LABIODENTALS

CLIPS = (
    "reader-6818-68772-0000-1@2.80",  # -rmer's wife was pr-
    "commands-f5e9f194-da4b-415c-9f95-6db42bef26c8@3.13",  # little bit of brown
    "kathleen-arctic_a0541_1592702995@1.22",  # worth of champ-
)
CALLED = {"test_stranger": "A stranger", "test_known": "A known voice, a new sentence"}
FPS, STEP = 30.0, 2  # every second frame is drawn: at half the pace of speech a word fits into a row
COLUMNS, SIDE, LEFT = 12, 124, 104  # places in a row; pixels
TILE = SIDE - 2  # a seam of white is between two faces
TITLE, PHONES, TRACK, GAP = 40, 34, 150, 22  # pixels of a sentence's parts
FINE = 2  # times finer than it is saved: lines and letters get smooth edges
FACE = 480  # pixels of a face in the film
ANGLE = 18.0  # degrees
INK, TEACHER, NETWORK = "#222222", "#111111", "#d62728"
LIPS, TEETH = "#a9c7ea", "#b5dfb0"  # /p b m/; /f v/


@dataclass(frozen=True)
class Sentence:
    """A clip's motion as the teacher and the network have it, and the stretch that is drawn."""

    recording: Recording
    start: int  # frame
    motions: tuple[np.ndarray, np.ndarray]  # teacher's, network's [T, V, 3]
    openings: np.ndarray  # theirs above rest in mm [2, T]

    @property
    def title(self) -> str:
        """Who speaks."""
        split, source = self.recording.group.split()
        who = source if self.recording.subject == source else f"voice {self.recording.subject} of {source}"
        return f"{CALLED.get(split, 'Trained on')}: {who}"


def sentences(corpus: Path, weights: Path, clips: tuple[str, ...]) -> tuple[Head, list[Sentence]]:
    """The head and the sentences named ID@SECOND.

    Raises:
        HiSTalkError: a clip is not in the corpus' test split, or too short for a row that starts there.
    """
    data = open_data_set("corpus", corpus)
    predict = network(load_checkpoint(weights), data.topology)
    known = {recording.id: recording for recording in data.recordings("test")}
    rest, found = lip_opening(data.head.landmarks(data.head.vertices)), []
    for clip in clips:
        name, _, second = clip.partition("@")
        if name not in known:
            raise HiSTalkError(f"'{name}' is no clip of the corpus' test split: name another as ID@SECOND with --clip.")
        recording = known[name]
        motions, start = (recording.motion(), predict(recording)), round(float(second or 0) * FPS)
        frames = min(map(len, motions))
        if start + STEP * COLUMNS > frames:
            latest = frames / FPS - STEP * COLUMNS / FPS
            raise HiSTalkError(f"'{name}' is too short for that start: choose one up to {latest:.2f}.")
        marks = [data.head.landmarks(data.head.vertices + motion[:frames]) for motion in motions]
        found.append(
            Sentence(recording, start, motions, 1000 * np.stack([lip_opening(points) - rest for points in marks]))
        )
    return data.head, found


class Timeline:
    """Phones and openings of a stretch of a sentence on a picture that is `FINE` times too large."""

    def __init__(self, picture: Image.Image, sentence: Sentence, left: float, width: float, first: float, last: float):
        """`left`, `width`: pixels of the picture as it is saved; `first`, `last`: seconds at the two ends."""
        self.draw, self.sentence, self.left, self.width = ImageDraw.Draw(picture), sentence, left, width
        self.first, self.last = first, last

    def x(self, seconds: float) -> float:
        """Where a time lies."""
        return FINE * (self.left + self.width * (seconds - self.first) / (self.last - self.first))

    def _phones(self):
        for phone, start, end in self.sentence.recording.phones:
            start, end = max(start, self.first), min(end, self.last)
            if start < end:
                colour = LIPS if phone in BILABIALS else TEETH if phone in LABIODENTALS else None
                yield phone, self.x(start), self.x(end), colour

    def phones(self, top: float, size: int) -> None:
        """Names in their time, as long as they last."""
        top, bottom = FINE * top, FINE * (top + PHONES)
        for phone, start, end, colour in self._phones():
            self.draw.rectangle((start, top, end, bottom), fill=colour or "white", outline="#cccccc", width=FINE)
            name, letters = "-" if phone == "SIL" else phone, font(size)
            if letters.getlength(name) < end - start:
                self.draw.text(((start + end) / 2, (top + bottom) / 2), name, INK, letters, anchor="mm")

    def tracks(self, top: float, height: float, size: int) -> None:
        """Both openings; below the dashes the lips count as closed."""
        frames = np.arange(self.sentence.openings.shape[1])
        openings = self.sentence.openings[:, (frames / FPS >= self.first) & (frames / FPS <= self.last)]
        low, high = min(-1.0, openings.min()), max(8.0, openings.max()) * 1.05

        def y(opening: float) -> float:
            return FINE * (top + height * (high - opening) / (high - low))

        for _, start, end, colour in self._phones():
            if colour:
                self.draw.rectangle((start, FINE * top, end, FINE * (top + height)), fill=colour)
        ends = self.x(self.first), self.x(self.last)
        for opening in range(0, int(high) + 1, 5):
            self.draw.line((ends[0], y(opening), ends[1], y(opening)), "#cccccc", FINE)
            self.draw.text((ends[0] - 8 * FINE, y(opening)), str(opening), INK, font(size), anchor="rm")
        for x in np.arange(*ends, 12 * FINE):
            self.draw.line((x, y(1000 * CLOSED), min(x + 6 * FINE, ends[1]), y(1000 * CLOSED)), "#777777", FINE)
        # A frame's opening reaches beyond the stretch; its line ends there.
        seconds = np.linspace(self.first, self.last, round(self.width))
        for track, colour in zip(self.sentence.openings, (TEACHER, NETWORK)):
            drawn = np.interp(seconds, frames / FPS, track)
            self.draw.line(
                [(self.x(at), y(opening)) for at, opening in zip(seconds, drawn)], colour, 3 * FINE, joint="curve"
            )


def font(size: int) -> ImageFont.FreeTypeFont:
    """Letters for a picture that is `FINE` times too large."""
    return ImageFont.load_default(size * FINE)


def sheet(head: Head, found: list[Sentence]) -> Image.Image:
    """All sentences below each other."""
    height = TITLE + 2 * SIDE + PHONES + TRACK + GAP
    width = LEFT + COLUMNS * SIDE + 8
    page = Image.new("RGB", (FINE * width, FINE * height * len(found)), "white")
    draw = ImageDraw.Draw(page)
    stage = Stage(head, FINE * TILE, 260, mouth_of(head))
    key = "blue: p b m    green: f v    below the dashes the lips are closed"
    draw.text((FINE * (width - 8), FINE * TITLE / 2), key, INK, font(18), anchor="rm")
    for k, sentence in enumerate(found):
        top = k * height
        draw.text((FINE * LEFT, FINE * (top + TITLE / 2)), sentence.title, INK, font(22), anchor="lm")
        for row, (name, motion, colour) in enumerate(zip(("teacher", "network"), sentence.motions, (TEACHER, NETWORK))):
            y = top + TITLE + row * SIDE
            draw.text((FINE * (LEFT - 8), FINE * (y + SIDE / 2)), name, colour, font(22), anchor="rm")
            for i in range(COLUMNS):
                tile = stage.picture(motion[sentence.start + STEP * i], ANGLE)
                page.paste(tile, (FINE * (LEFT + i * SIDE + 1), FINE * (y + 1)))
        # A tile's middle stands at its frame's time.
        first = (sentence.start - STEP / 2) / FPS
        line = Timeline(page, sentence, LEFT, COLUMNS * SIDE, first, first + STEP * COLUMNS / FPS)
        line.phones(top + TITLE + 2 * SIDE, 20)
        line.tracks(top + TITLE + 2 * SIDE + PHONES, TRACK, 18)
        draw.text(
            (FINE * 6, FINE * (top + TITLE + 2 * SIDE + PHONES + TRACK / 2)), "lips\nmm", INK, font(20), anchor="lm"
        )
    return page.resize((width, height * len(found)), Image.LANCZOS)


def film(head: Head, found: list[Sentence], path: Path) -> None:
    """Both faces side by side over the whole sentences, with their sound.

    Raises:
        HiSTalkError: ffmpeg is missing or fails.
    """
    width, height = 2 * FACE, 2 * TITLE + FACE + PHONES + TRACK
    stage = Stage(head, FACE, 100, face_of(head))
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder, "sound.wav")
        lengths = [sentence.openings.shape[1] for sentence in found]
        # A clip's last frame may reach beyond its sound.
        sounds = [np.pad(sentence.recording.samples(), (0, SAMPLE_RATE)) for sentence in found]
        pieces = [samples[: round(T / FPS * SAMPLE_RATE)] for samples, T in zip(sounds, lengths)]
        sf.write(sound, np.concatenate(pieces), SAMPLE_RATE)
        command = [
            "ffmpeg",
            "-y",
            "-loglevel",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            f"{width}x{height}",
            "-r",
            f"{FPS:g}",
            "-i",
            "-",
            "-i",
            str(sound),
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            str(path),
        ]
        try:
            with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
                for sentence, T in zip(found, lengths):
                    for frame in film_frames(stage, sentence, T, (width, height)):
                        process.stdin.write(frame.tobytes())
        except (FileNotFoundError, BrokenPipeError) as error:
            raise HiSTalkError(f"ffmpeg is missing or cannot write '{path}' ({error}).") from error
        if process.returncode:
            raise HiSTalkError(f"ffmpeg cannot write '{path}': choose another place.")


def film_frames(stage: Stage, sentence: Sentence, T: int, size: tuple[int, int]):
    """The pictures of one sentence, a mark running over the phones and tracks below the faces."""
    width, height = size
    below = Image.new("RGB", (FINE * width, FINE * height), "white")
    draw = ImageDraw.Draw(below)
    draw.text((FINE * 12, FINE * TITLE / 2), sentence.title, INK, font(20), anchor="lm")
    for middle, name, colour in ((0.5, "teacher", TEACHER), (1.5, "network", NETWORK)):
        draw.text((FINE * middle * FACE, FINE * 1.5 * TITLE), name, colour, font(20), anchor="mm")
    top = 2 * TITLE + FACE
    line = Timeline(below, sentence, 36, width - 44, 0.0, T / FPS)
    line.phones(top, 9)
    line.tracks(top + PHONES, TRACK, 14)
    below = below.resize(size, Image.LANCZOS)
    for t in range(T):
        frame = below.copy()
        for k, motion in enumerate(sentence.motions):
            frame.paste(stage.picture(motion[t], ANGLE), (k * FACE, 2 * TITLE))
        x = line.x(t / FPS) / FINE
        ImageDraw.Draw(frame).line((x, top, x, height), "#1f77b4", 2)
        yield frame


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True)
@click.option("--weights", type=click.Path(path_type=Path), default=WEIGHTS, show_default=True)
@click.option(
    "--clip", "clips", multiple=True, default=CLIPS, show_default=True, help="ID@SECOND that its faces start at."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .png.")
@click.option(
    "--film", "film_path", type=click.Path(path_type=Path), help="Also an .mp4 of the whole sentences with sound."
)
def main(corpus: Path, weights: Path, clips: tuple[str, ...], out: Path, film_path: Path | None) -> None:
    """Write the picture and, on wish, the film."""
    head, found = sentences(corpus, weights, clips)
    sheet(head, found).quantize(128).save(out, optimize=True)
    if film_path:
        film(head, found, film_path)


if __name__ == "__main__":
    main()
