"""Engines' phone symbols -> ARPAbet (facts: each engine's own phone tables, checked against its output)."""

from __future__ import annotations

from ..teacher.phones import ARPABET

# flite and festival share the US phone set of the Festival system.
US = {phone.lower(): phone for phone in ARPABET} | {
    "ax": "AH",
    "axr": "ER",
    "dx": "T",
    "nx": "N",
    "hv": "HH",
    "el": "AH L",
    "em": "AH M",
    "en": "AH N",
    "pau": "SIL",
    "h#": "SIL",
    "brth": "SIL",
}

# espeak-ng's mnemonics for en-us.
ESPEAK_US = {
    "p": "P",
    "b": "B",
    "m": "M",
    "f": "F",
    "v": "V",
    "T": "TH",
    "D": "DH",
    "t": "T",
    "d": "D",
    "n": "N",
    "s": "S",
    "z": "Z",
    "S": "SH",
    "Z": "ZH",
    "tS": "CH",
    "dZ": "JH",
    "k": "K",
    "g": "G",
    "N": "NG",
    "h": "HH",
    "l": "L",
    "r": "R",
    "r-": "R",
    "w": "W",
    "j": "Y",
    "t#": "T",
    "t2": "T",
    "d#": "D",
    "?": "SIL",
    "n-": "AH N",
    "m-": "AH M",
    "l#": "L",
    "l-": "AH L",
    "x": "K",
    "I": "IH",
    "I2": "IH",
    "I#": "IH",
    "i": "IY",
    "i:": "IY",
    "E": "EH",
    "E2": "EH",
    "E#": "EH",
    "a": "AE",
    "aa": "AE",
    "a#": "AH",
    "@": "AH",
    "@2": "AH",
    "@5": "AH",
    "@-": "AH",
    "V": "AH",
    "0": "AA",
    "0#": "AA",
    "A:": "AA",
    "A#": "AA",
    "O": "AO",
    "O:": "AO",
    "O2": "AO",
    "U": "UH",
    "u": "UW",
    "u:": "UW",
    "3": "ER",
    "3:": "ER",
    "oU": "OW",
    "oU#": "OW",
    "eI": "EY",
    "aI": "AY",
    "aU": "AW",
    "OI": "OY",
    "@L": "AH L",
    "A@": "AA R",
    "o@": "AO R",
    "O@": "AO R",
    "e@": "EH R",
    "i@": "IY AH",
    "i@3": "IY R",
    "U@": "UH R",
    "aI@": "AY AH",
    "aI3": "AY ER",
    "aU@": "AW AH",
    "IR": "ER",
    "VR": "ER",
    "_:": "SIL",
    "_": "SIL",
    "_!": "SIL",
    "_|": "SIL",
    "_::": "SIL",
}


def to_arpabet(segments: list, table: dict[str, str]) -> list[tuple[str, float, float]] | None:
    """(symbol, start s, end s) -> the same in ARPAbet; two phones share one symbol's time; None = unknown symbol."""
    out = []
    for symbol, start, end in segments:
        if symbol not in table:
            return None
        names = table[symbol].split()
        step = (end - start) / len(names)
        out += [(name, start + i * step, start + (i + 1) * step) for i, name in enumerate(names)]
    return out
