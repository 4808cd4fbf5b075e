"""Which shape key is which ARKit blendshape, however a rig spells and decorates the 52 names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from .arkit import ARKIT_BLENDSHAPES

SIDES = {"l": "left", "lf": "left", "lft": "left", "r": "right", "rt": "right", "rgt": "right"}
REGIONS = ("brow", "cheek", "eye", "jaw", "mouth", "nose", "tongue")
# One more word of this vocabulary makes it another shape: jawOpen_mouthClose, Mouth_Funnel_Up_L.
VOCABULARY = {word.lower() for unit in ARKIT_BLENDSHAPES for word in re.findall("[A-Z]?[a-z]+", unit)}
# Words of shapes that correct, undo or vary one of ARKit's, and are not one.
HELPERS = set(
    "no not non un anti off without minus neg negative inv inverse inverted reverse undo fix fixed fixer corr correct "
    "correction corrective correctives combo comb combi combination inbetween between ib help helper driver driven drv "
    "mask limit limiter old bak backup orig original unused delete deleted temp tmp test copy half extreme extremes "
    "max min wrinkle wrinkles sticky adjust adjustment adj delta base basis neutral reset zero top bottom mid tip "
    "sculpt mirror".split()
)
# Other parts of a character, whose keys repeat the face's to follow it.
PARTS = set("tongue teeth tooth gum gums lash lashes eyelash eyelashes beard hair eyeball".split())
# Words that only say that this is a shape key: they are ignored even if a single key has them.
PLAIN_WORDS = set(
    "arkit bs blend blendshape blendshapes shape shapes shapekey key morph morpher target ctrl control expression "
    "expressions face facial facs head jnt node mesh region c m center centre".split()
)
DUPLICATE = re.compile(r"\.\d{3}$")  # what Blender appends to a name that exists


class _Reading(NamedTuple):
    """A shape key's name parsed: a blendshape, and the words around it."""

    unit: str
    looseness: int  # 0 = spelt as Apple does
    before: tuple[str, ...]  # "#" for a number
    after: tuple[str, ...]
    node: bool  # whether the words before are a node or a namespace: `head_blendShape.`, `ARKit:`

    @property
    def explained(self) -> bool:
        """Whether a single key shows that the words around are not part of the shape's name."""
        if self.after and not set(self.after) <= PLAIN_WORDS:
            return False
        numbered = self.before[-1:] == ("#",) and max(map(len, self.before)) <= 3  # A25_, AK_09_
        return self.node or numbered or set(self.before) <= PLAIN_WORDS


def match_names(names: Sequence[str]) -> dict[str, str]:
    """Unit -> the shape key that is spelt like it: `mouthSmileLeft`, `MouthSmile_L`, `A38_Mouth_Smile_Left` ...

    Of several, the one spelt closest to Apple's wins. Prefixes and suffixes (`BS_node.jawOpen`,
    `CTRL_expressions_jawOpen`, `AK_25_JawOpen`) are ignored if most of the rig's keys share them, numbers apart, but
    not those that make it another shape (`jawOpen_corrective`, `mouthFunnel_L`).

    Args:
        names: shape keys, in their order.

    Returns:
        Those of the 52 ARKit blendshapes that have a key, in ARKIT_BLENDSHAPES' order; no key twice.
    """
    groups = defaultdict(dict)  # words around -> unit -> (looseness, place in the order, name, reading)
    for place, name in enumerate(names):
        reading = _read(name)
        if reading is not None:
            group = groups[reading.before, reading.after]
            entry = reading.looseness, place, name, reading
            group[reading.unit] = min(group.get(reading.unit, entry), entry)
    found = {unit: entry[2] for unit, entry in groups.pop(((), ()), {}).items()}
    most_first = sorted(groups.items(), key=lambda item: (_of_a_part(item[0]), -len(item[1])))
    for around, group in most_first:
        if _of_a_part(around) and found:
            continue
        shared = len(group) >= max(2, len(found))
        for unit, (_, _, name, reading) in group.items():
            if shared or reading.explained:
                found.setdefault(unit, name)
    return {unit: found[unit] for unit in ARKIT_BLENDSHAPES if unit in found}


def _of_a_part(around: tuple[tuple[str, ...], tuple[str, ...]]) -> bool:
    return not PARTS.isdisjoint(around[0] + around[1])


def _spellings() -> dict[tuple[str, str], str]:
    """The letters, and the side that stands apart from them or "" -> unit."""
    found = {}
    for unit in ARKIT_BLENDSHAPES:
        found[unit.lower(), ""] = unit
        sided = re.fullmatch("(.+)(Left|Right)", unit)
        if sided:
            found[sided[1].lower(), sided[2].lower()] = unit
    return found


SPELLINGS = _spellings()


@lru_cache(maxsize=8192)
def _read(name: str) -> _Reading | None:
    """The one blendshape that a name means, or None."""
    if name in ARKIT_BLENDSHAPES:
        return _Reading(name, 0, (), (), False)
    bare = DUPLICATE.sub("", name)
    copy = 4 * (bare != name)
    letters = re.sub(r"[\W_]", "", bare.lower())
    if (letters, "") in SPELLINGS:
        return _Reading(SPELLINGS[letters, ""], 1 + copy, (), (), False)
    words, of_node = _words(bare)
    at = [i for i, word in enumerate(words) if word in ("left", "right")]
    if len(at) > 1:
        return None
    side = words.pop(at[0]) if at else ""
    if at and at[0] < of_node:
        of_node -= 1
    found = []
    for first, last in combinations(range(len(words) + 1), 2):
        core = "".join(words[first:last])
        unit = SPELLINGS.get((core, side))
        if unit is None or (core in ("jaw", "mouth") and at[0] != last):  # jawLeft is no left jaw
            continue
        before, after = (tuple("#" if w.isdigit() else w for w in some) for some in (words[:first], words[last:]))
        region = before[-1].removesuffix("s") if before else ""
        if region in REGIONS and unit.startswith(region):  # `Mouth_mouthSmileLeft`, sorted by regions
            before = (*before[:-1], "region")
        if not (HELPERS | VOCABULARY - PARTS).isdisjoint(before + after):
            continue
        looseness = 2 + (bool(at) and at[0] != last) + copy
        found.append(_Reading(unit, looseness, before, after, 0 < of_node == first))
    return found[0] if len({reading.unit for reading in found}) == 1 else None


def _words(name: str) -> tuple[list[str], int]:
    """Lower-case words and numbers of a name, sides spelt out; and how many stand before the last of `. : | /`."""
    end = max(name.rfind(mark) for mark in ".:|/") + 1
    before = _split(name[:end])
    return before + _split(name[end:]), len(before)


def _split(text: str) -> list[str]:
    text = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)", " ", text)
    text = re.sub(f"(?={'|'.join(REGIONS)})", " ", text.lower())  # a region begins a word: `bsjawopen`
    return [SIDES.get(word, word) for word in re.split(r"[\W_]+", text) if word]
