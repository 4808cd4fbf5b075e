"""A sound file, or a part of one, as samples at 16 kHz and an even level."""
