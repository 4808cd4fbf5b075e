"""What the tests speak."""

from pathlib import Path

SPEECH = Path(__file__).parent / "data" / "speech.flac"
MOTION = SPEECH.with_name(
    "speech_motion.npy"
)  # [T, K] weights of the network's shapes, what the bundled weights make of it
