"""Sentences for the synthesizers: dictionary words in plain English frames, rich in bilabials and rare phones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FRAMES = (
    "the {} {} {} the {}",
    "please {} my {} and {} {}",
    "we {} {} before {} {}",
    "maybe {} will {} the {} {}",
    "{} and {} have {} from {}",
    "why would {} {} {} {} now",
    "you said {} {} {}",
    "i have never {} such {} {} {}",
    "{} {} {} {}",
    "if {} {} then {} {} {}",
    "give {} to {} for {} {}",
    "who {} {} by the {} {} of {}",
)


def pronunciations() -> dict[str, list[str]]:
    """Word -> ARPAbet phones without stress, from the CMU dictionary inside pocketsphinx's wheel."""
    import pocketsphinx

    words = {}
    for line in Path(pocketsphinx.get_model_path(), "en-us", "cmudict-en-us.dict").open():
        word, *phones = line.split()
        if word.isalpha() and word.isascii() and 2 <= len(phones) <= 10:
            words[word] = phones
    return words


def sentences(count: int, seed: int) -> list[str]:
    """So many sentences; a word's chance grows with the rarity of its phones and with its /p b m f v/."""
    words = pronunciations()
    names = sorted(words)
    frequency: dict[str, int] = {}
    for phones in words.values():
        for phone in phones:
            frequency[phone] = frequency.get(phone, 0) + 1
    total = sum(frequency.values())
    chances = np.array([np.mean([(total / frequency[p]) ** 0.5 for p in words[name]]) for name in names])
    chances *= [1 + sum(p in "PBMFV" for p in words[name]) for name in names]
    random = np.random.default_rng(seed)
    frames = random.choice(len(FRAMES), count)
    chosen = iter(random.choice(len(names), 6 * count, p=chances / chances.sum()))
    return [FRAMES[f].format(*(names[next(chosen)] for _ in range(FRAMES[f].count("{}")))) for f in frames]
