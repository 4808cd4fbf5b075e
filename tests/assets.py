"""What the tests speak."""

from pathlib import Path

SPEECH = Path(__file__).parent / "data" / "speech.flac"
