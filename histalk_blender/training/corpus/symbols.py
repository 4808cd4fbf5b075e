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

# ARPAbet -> espeak-ng's mnemonics for en-us.
_ESPEAK_US = {
    "P": "p",
    "B": "b",
    "M": "m",
    "F": "f",
    "V": "v",
    "TH": "T",
    "DH": "D",
    "T": "t t# t2",
    "D": "d d#",
    "N": "n",
    "S": "s",
    "Z": "z",
    "SH": "S",
    "ZH": "Z",
    "CH": "tS",
    "JH": "dZ",
    "K": "k x",
    "G": "g",
    "NG": "N",
    "HH": "h",
    "L": "l l#",
    "R": "r r-",
    "W": "w",
    "Y": "j",
    "SIL": "? _: _ _! _| _::",
    "AH N": "n-",
    "AH M": "m-",
    "AH L": "l- @L",
    "IH": "I I2 I#",
    "IY": "i i:",
    "EH": "E E2 E#",
    "AE": "a aa",
    "AH": "a# @ @2 @5 @- V",
    "AA": "0 0# A: A#",
    "AO": "O O: O2",
    "UH": "U",
    "UW": "u u:",
    "ER": "3 3: IR VR",
    "OW": "oU oU#",
    "EY": "eI",
    "AY": "aI",
    "AW": "aU",
    "OY": "OI",
    "AA R": "A@",
    "AO R": "o@ O@",
    "EH R": "e@",
    "IY AH": "i@",
    "IY R": "i@3",
    "UH R": "U@",
    "AY AH": "aI@",
    "AY ER": "aI3",
    "AW AH": "aU@",
}
ESPEAK_US = {symbol: phones for phones, symbols in _ESPEAK_US.items() for symbol in symbols.split()}


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
