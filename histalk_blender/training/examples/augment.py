"""Augmentation toward unseen rooms, microphones and levels; speed and formants change in `batches`."""

from __future__ import annotations

import numpy as np


def augment(wave: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
    """Vocal tract, gain, colour, band limit, reverberation, noise, coarse coding and clipping, each by chance.

    Args:
        wave: [N] float32 speech.
        rate: samples a second.
        random: where the chance comes from.

    Returns:
        [N] float32; nothing moves in time by more than a millisecond or so.
    """
    N = len(wave)
    if random.random() < 0.4:
        wave = with_formants(wave, float(np.exp(random.normal(0, 0.08))))
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
    if random.random() < 0.08:  # as telephones code: eight bits, logarithmic
        peak = np.abs(out).max() + 1e-9
        coded = np.round(np.sign(out) * np.log1p(255 * np.abs(out) / peak) / np.log(256) * 127) / 127
        out = np.sign(coded) * peak * np.expm1(np.abs(coded) * np.log(256)) / 255
    if random.random() < 0.05:
        limit = random.uniform(0.2, 0.6) * np.abs(out).max()
        out = np.clip(out, -limit, limit)
    return (out * 10 ** (random.normal(0, 2) / 20)).astype(np.float32)


def with_formants(wave: np.ndarray, factor: float, size: int = 512) -> np.ndarray:
    """Another vocal tract: the spectral envelope is stretched, pitch and tempo stay.

    Args:
        wave: [N] float32 at 16 kHz.
        factor: of the formants' frequencies; above 1 is a shorter tract.
        size: samples of a frame.

    Returns:
        [N] float32.
    """
    hop = size // 4
    padded = np.pad(wave, (size, size + -len(wave) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size).astype(np.float32)
    spectra = np.fft.rfft(frames * window, axis=1)
    # The envelope is what the first cepstral coefficients hold: slower than the harmonics of any voice.
    cepstra = np.fft.irfft(np.log(np.abs(spectra) + 1e-4), axis=1)
    keep = np.minimum(np.arange(size), size - np.arange(size)) < 28
    envelope = np.fft.rfft(cepstra * keep, axis=1).real
    bins = np.arange(size // 2 + 1)
    source = np.minimum(bins / factor, bins[-1])
    low = np.minimum(source.astype(int), bins[-1] - 1)
    share = source - low
    moved = envelope[:, low] * (1 - share) + envelope[:, low + 1] * share
    spectra *= np.exp(np.clip(moved - envelope, -3, 3))
    pieces = np.fft.irfft(spectra, axis=1) * window / 2
    out = np.zeros(len(padded))
    for part in range(4):
        rows = pieces[part::4]
        out[part * hop : part * hop + rows.size] += rows.reshape(-1)
    return out[size : size + len(wave)].astype(np.float32)
