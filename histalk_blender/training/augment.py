"""Augmentation toward unseen rooms, microphones and levels; speed and formants change in `batches`."""

from __future__ import annotations

import numpy as np


def augment(wave: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
    """Gain, colour, band limit, reverberation and noise, each by chance.

    Args:
        wave: [N] float32 speech.
        rate: samples a second.
        random: where the chance comes from.

    Returns:
        [N] float32; nothing moves in time by more than a millisecond or so.
    """
    N = len(wave)
    size = 1 << (N + rate // 2 - 1).bit_length()
    spectrum = np.fft.rfft(wave, size)
    frequency = np.fft.rfftfreq(size, 1 / rate)
    if random.random() < 0.7:
        knots = np.geomspace(60, 8000, 7)
        gains = random.normal(0, 4, 7)
        spectrum *= 10 ** (np.interp(np.log(frequency + 1), np.log(knots), gains) / 20)
    if random.random() < 0.25:
        low, high = random.uniform(50, 300), random.uniform(3000, 7500)
        spectrum *= 1 / (1 + (low / (frequency + 1)) ** 6) / (1 + (frequency / high) ** 12)
    if random.random() < 0.3:
        length = int(random.uniform(0.1, 0.5) * rate)
        tail = random.normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length)
        tail *= random.uniform(0.1, 0.6) / np.linalg.norm(tail)
        tail[0] += 1.0  # the direct sound stays first, or the labels would shift
        spectrum *= np.fft.rfft(tail, size)
    out = np.fft.irfft(spectrum, size)[:N]
    level = np.sqrt(np.mean(out**2)) + 1e-6
    if random.random() < 0.6:
        noise = np.fft.rfft(random.normal(0, 1, N))
        noise *= (np.arange(len(noise)) + 10.0) ** -random.uniform(0, 1)
        noise = np.fft.irfft(noise, N)
        noise *= level / (np.sqrt(np.mean(noise**2)) + 1e-9) * 10 ** (-random.uniform(8, 40) / 20)
        out = out + noise
    return (out * 10 ** (random.normal(0, 2) / 20)).astype(np.float32)
