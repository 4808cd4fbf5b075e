"""Phones: the symbols that corpus, teacher and metrics share."""

from __future__ import annotations

# Silence, and the 39 phones of ARPAbet without stress. The order is that of the network's phone classes.
ARPABET = tuple(
    ("SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH").split()
)
BILABIALS = frozenset({"P", "B", "M"})
LABIODENTALS = frozenset({"F", "V"})

# A diphthong is its two vowels, 60 % and 40 % of its time.
DIPHTHONGS = {"AY": ("AA", "IY"), "AW": ("AA", "UW"), "EY": ("EH", "IY"), "OW": ("AO", "UW"), "OY": ("AO", "IY")}
