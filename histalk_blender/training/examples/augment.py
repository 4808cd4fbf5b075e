"""Augmentation toward unseen rooms, microphones and levels. Speed is changed in `batches`, with the labels.

Every transform takes [N] float sound, its rate and the source of chance, and gives [N] sound in which nothing has moved
in time by more than a millisecond or so. To add one, write it and give it a line in `TRANSFORMS`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Random = np.random.Generator
OCTAVE_KNOTS = np.geomspace(60, 8000, 7)  # hertz between which the colour of a microphone is interpolated


def augment(wave: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """Each of `TRANSFORMS` by its chance, and another level.

    Args:
        wave: [N] float32 speech.
        rate: samples a second.
        random: where the chance comes from.

    Returns:
        [N] float32.
    """
    for probability, transform in TRANSFORMS:
        if random.random() < probability:
            wave = transform(wave, rate, random)
    return (wave * 10 ** (random.normal(0, 2) / 20)).astype(np.float32)


def vocal_tract(wave: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """A longer or shorter one."""
    return with_formants(wave, float(np.exp(random.normal(0, 0.08))))


def colour(wave: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """A microphone's frequency response."""
    gains = random.normal(0, 4, len(OCTAVE_KNOTS))

    def response(frequency: np.ndarray) -> np.ndarray:
        return 10 ** (np.interp(np.log(frequency + 1), np.log(OCTAVE_KNOTS), gains) / 20)

    return _filtered(wave, rate, response)


def band_limit(wave: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """A line that loses the lowest and the highest frequencies."""
    low, high = random.uniform(50, 300), random.uniform(3000, 7500)
    return _filtered(wave, rate, lambda f: 1 / (1 + (low / (f + 1)) ** 6) / (1 + (f / high) ** 12))


def reverberation(wave: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """A room's exponentially fading noise."""
    length = int(random.uniform(0.1, 0.5) * rate)
    tail = random.normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= random.uniform(0.1, 0.6) / np.linalg.norm(tail)
    tail[0] += 1.0  # the direct sound stays first, or the labels would shift
    return _filtered(wave, rate, lambda f: np.fft.rfft(tail, 2 * (len(f) - 1)))


def noise(wave: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """White to pink noise, 8 to 40 dB below the speech."""
    level = np.sqrt(np.mean(wave**2)) + 1e-6
    return wave + coloured_noise(len(wave), random) * level * 10 ** (-random.uniform(8, 40) / 20)


def telephone(wave: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """Eight bits, logarithmic, as telephones code."""
    peak = np.abs(wave).max() + 1e-9
    coded = np.round(np.sign(wave) * np.log1p(255 * np.abs(wave) / peak) / np.log(256) * 127) / 127
    return np.sign(coded) * peak * np.expm1(np.abs(coded) * np.log(256)) / 255


def clipping(wave: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """An overdriven recording."""
    limit = random.uniform(0.2, 0.6) * np.abs(wave).max()
    return np.clip(wave, -limit, limit)


TRANSFORMS: tuple[tuple[float, Callable[[np.ndarray, int, Random], np.ndarray]], ...] = (
    (0.4, vocal_tract),
    (0.7, colour),
    (0.25, band_limit),
    (0.3, reverberation),
    (0.6, noise),
    (0.08, telephone),
    (0.05, clipping),
)


def _filtered(wave: np.ndarray, rate: int, response: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """[N] sound times a frequency response, a function of hertz; half a second of padding keeps the ends apart."""
    size = 1 << (len(wave) + rate // 2 - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(wave, size) * response(np.fft.rfftfreq(size, 1 / rate)), size)[: len(wave)]


def coloured_noise(N: int, random: Random) -> np.ndarray:
    """[N] of root mean square one, its spectrum anything from white to pink."""
    spectrum = np.fft.rfft(random.normal(0, 1, N))
    spectrum *= (np.arange(len(spectrum)) + 10.0) ** -random.uniform(0, 1)
    out = np.fft.irfft(spectrum, N)
    return out / (np.sqrt(np.mean(out**2)) + 1e-9)


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
