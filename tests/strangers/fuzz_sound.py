"""`python fuzz_sound.py SEED COUNT`: damaged sounds are read or refused in one sentence, and nothing else happens.

A process of its own, as a decoder in C may take the whole process with it.
"""

import random
import sys
from io import BytesIO

import numpy as np
import soundfile as sf

from histalk_blender.audio.clip import read_audio
from histalk_blender.errors import HiSTalkError

KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "GSM610"),
    ("WAV", "G721_32"),
    ("WAV", "NMS_ADPCM_32"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", None),
    ("AIFF", "PCM_16"),
    ("AIFF", "DWVW_16"),
    ("W64", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("AU", "G723_24"),
    ("NIST", "PCM_16"),
]
VALUES = [0, 1, 0x7F, 0x80, 0xFF]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, mostly in the header; sometimes cut, repeated or taken out."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        place = rng.randrange(min(len(data), rng.choice([64, 256, len(data)])))
        what = rng.random()
        if what < 0.5:
            data[place] = rng.choice([*VALUES, rng.randrange(256), data[place] ^ 1 << rng.randrange(8)])
        elif what < 0.8:
            size = rng.choice([2, 4, 8])
            value = rng.choice([b"\xff", b"\0", b"\x7f", b"\x80", bytes([rng.randrange(256)])])
            data[place : place + size] = value * size
        elif what < 0.87:
            del data[place:]
        elif what < 0.94:
            del data[place : place + rng.randrange(1, 64)]
        else:
            data[place:place] = data[place : place + rng.randrange(1, 64)]
        if len(data) < 2:
            break
    return bytes(data)


def main(seed: int, count: int) -> None:
    """Prints how many were read and refused; anything but a sentence ends it with a traceback."""
    rng, noise = random.Random(seed), np.random.default_rng(0).normal(0, 0.1, (4000, 2))
    sounds = []
    for form, codec in KINDS:
        file = BytesIO()
        mono = codec in ("GSM610", "G721_32", "NMS_ADPCM_32", "G723_24", "DWVW_16")
        sf.write(file, noise[:, 0] if mono else noise, 16_000 if codec == "OPUS" else 8000, format=form, subtype=codec)
        sounds.append(file.getvalue())
    read = refused = 0
    for i in range(count):
        try:
            samples = read_audio(damaged(sounds[i % len(sounds)], rng), name="sound")
            assert np.isfinite(samples).all() and 0.1 * 16_000 <= len(samples) <= 3602 * 16_000, (seed, i)
            read += 1
        except HiSTalkError as error:
            assert "\n" not in str(error) and len(str(error)) < 300, (seed, i, error)
            refused += 1
        except BaseException:
            print(f"seed {seed}, number {i}: {KINDS[i % len(KINDS)]}", file=sys.stderr)
            raise
    print(read, refused)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
