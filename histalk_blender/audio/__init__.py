"""A sound file, or a part of one, as samples at 16 kHz and an even level."""

RATE = 16_000  # samples a second of all decoded sound; what the network was trained on
