"""A sound file, or a segment of one, as samples at 16 kHz and an even loudness."""

SAMPLE_RATE = 16_000  # samples a second of all decoded sound; the network was trained at it
