"""How rigs out there spell and decorate ARKit's 52 names, and which look-alikes are none of them."""

import re

import pytest

from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.head.arkit_names import match_names

DIRECTIONS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")  # no side of the face


def words(unit):
    return re.sub("([A-Z])", r" \1", unit).split()


def capital(unit):
    return unit[0].upper() + unit[1:]


def sided(unit):
    """The name without its side, and the side."""
    found = None if unit in DIRECTIONS else re.fullmatch("(.+?)(Left|Right)", unit)
    return (found[1], found[2]) if found else (unit, "")


def initial(unit, joint="_"):
    core, side = sided(unit)
    return core + joint + side[0] if side else core


SPELLINGS = {
    "ActorCore, Character Creator": lambda i, u: f"A{i + 1:02}_" + "_".join(map(capital, words(u))),
    "Microsoft Rocketbox": lambda i, u: f"AK_{i + 1:02}_{capital(u)}",
    "Rocketbox through FBX": lambda i, u: f"blendShape1.AK_{i + 1:02}_{capital(u)}",
    "Unity's sample": lambda i, u: f"BS_node.{u}",
    "Maya's deformer": lambda i, u: f"head_blendShape.{u}",
    "Maya's default": lambda i, u: f"blendShape1.{capital(u)}",
    "a namespace": lambda i, u: f"ARKit:{u}",
    "a DAG path": lambda i, u: f"|grp|face|{u}",
    "MetaHuman": lambda i, u: "CTRL_expressions_" + initial(u, ""),
    "Ready Player Me joined": lambda i, u: f"Wolf3D_Head.{u}",
    "VRoid's way": lambda i, u: f"Face.M F00 {u}",
    "Daz, two prefixes": lambda i, u: ("facs_jnt_" if u.startswith("jaw") else "facs_bs_") + capital(u),
    "Blender's copies": lambda i, u: f"{u}.001",
    "a prefix and Blender's copies": lambda i, u: f"BS_node.{u}.012",
    "Faceit's initials": lambda i, u: initial(u),
    "initials after a dot": lambda i, u: initial(u, ".").lower(),
    "a suffix after the side": lambda i, u: f"{capital(u)}_CTRL",
    "a suffix before the side": lambda i, u: "_CTRL_".join(filter(None, sided(u))) if sided(u)[1] else f"{u}_CTRL",
    "Maya's shapes": lambda i, u: f"{u}Shape",
    "the side in front": lambda i, u: sided(u)[1] + capital(sided(u)[0]),
    "the side's initial in front": lambda i, u: f"{sided(u)[1][:1] or 'C'}_{sided(u)[0]}",
    "snakes": lambda i, u: "_".join(words(u)).lower(),
    "capitals": lambda i, u: "_".join(words(u)).upper(),
    "capitals in one": lambda i, u: u.upper(),
    "blanks": lambda i, u: "Face " + " ".join(words(u)).lower(),
    "numbers alone": lambda i, u: f"{i:02} {u}",
    "numbers behind": lambda i, u: f"{u}_{i}",
    "before and after": lambda i, u: f"char01_face_{u}_geo",
    "glued capitals": lambda i, u: f"BS{u}",
    "glued small letters": lambda i, u: f"bs{u.lower()}",
    "sorted by regions": lambda i, u: f"{capital(words(u)[0])}.{u}",
    "another language": lambda i, u: f"Gesicht_Größe_{u}",
}


@pytest.mark.parametrize("rig", SPELLINGS)
def test_a_rig_s_own_spelling_is_looked_through(rig):
    keys = [SPELLINGS[rig](i, unit) for i, unit in enumerate(ARKIT_BLENDSHAPES)]
    assert match_names(["Basis", "Smile", *keys, "Blink", "viseme_aa"]) == dict(zip(ARKIT_BLENDSHAPES, keys))


@pytest.mark.parametrize("rig", SPELLINGS)
def test_a_part_of_the_52_is_enough(rig):
    some = ("jawOpen", "mouthClose", "mouthPucker", "mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft")
    keys = {unit: SPELLINGS[rig](ARKIT_BLENDSHAPES.index(unit), unit) for unit in some}
    assert match_names(["Basis", *keys.values()]) == keys


@pytest.mark.parametrize(
    "key", ["BS_node.jawOpen", "head:JawOpen", "A25_Jaw_Open", "CTRL_expressions_jawOpen", "jawOpen.001"]
)
def test_a_rig_with_a_jaw_and_no_more(key):
    assert match_names(["Basis", key, "Frown"]) == {"jawOpen": key}


@pytest.mark.parametrize("order", [1, -1])
def test_the_closest_spelling_wins_in_whatever_order(order):
    closest = ["jawOpen", "JawOpen", "Jaw-Open.003", "ARKit.jawOpen"]
    for i, key in enumerate(closest):
        assert match_names(closest[i:][::order]) == {"jawOpen": key}
    assert (
        match_names(["A38_Mouth_Smile_Left", "MouthSmile_L", "mouthSmileLeft"][::order])["mouthSmileLeft"]
        == "mouthSmileLeft"
    )
    assert match_names(["A38_Mouth_Smile_Left", "MouthSmile_L"][::order]) == {"mouthSmileLeft": "MouthSmile_L"}


def test_one_exact_name_does_not_keep_the_others_from_being_seen():
    numbered = [f"A{i:02}_{unit}" for i, unit in enumerate(ARKIT_BLENDSHAPES)]
    found = match_names([*numbered, "jawOpen"])
    assert found == dict(zip(ARKIT_BLENDSHAPES, numbered)) | {"jawOpen": "jawOpen"}


@pytest.mark.parametrize(
    "keys",
    [
        ["jawOpen_corrective"],
        ["jawOpen_corrective", "mouthClose_corrective", "mouthFunnel_corrective"],
        ["mouthCloseHelper", "no_jawOpen", "jawOpen_fix", "notJawOpen"],
        ["CTRL_expressions_jawOpenExtreme", "CTRL_expressions_mouthPuckerExtreme"],
        ["jawOpen_mouthClose", "mouthSmileLeft_jawOpen", "mouthPressLeft_mouthPressRight"],
        ["mouthFunnel_L", "mouthFunnel_R", "Mouth_Pucker_Up_L", "cheekPuff_Left"],  # halves and quarters of a unit
        ["tongue_jawOpen", "teeth_mouthClose"],
        ["Fcl_MTH_A", "Fcl_EYE_Close", "Fcl_BRW_Angry", "Fcl_ALL_Joy"],
        ["mouthOpen", "mouthSmile", "eyesClosed", "eyeBlink", "browDown"],
        ["Jaw", "left_jaw", "right mouth", "Open"],
        ["my_jawOpen", "jawOpenish", "jawOpen50"],
        ["", "...", "L", "_", ".001", "left right"],
    ],
)
def test_a_look_alike_is_none(keys):
    assert match_names(keys) == {}
    honest = [unit for unit in ARKIT_BLENDSHAPES if unit != "jawOpen"]
    assert match_names([*keys, *honest]) == {unit: unit for unit in honest}


def test_teeth_and_tongue_that_follow_the_face_are_not_the_face():
    face = [f"Head_{unit}" for unit in ARKIT_BLENDSHAPES if unit != "jawForward"]
    teeth = [f"{part}_{unit}" for part in ("Teeth", "Tongue") for unit in ARKIT_BLENDSHAPES]
    assert list(match_names([*teeth, *face]).values()) == face
    assert len(match_names([f"Teeth_{unit}" for unit in ARKIT_BLENDSHAPES])) == 52  # a mesh of teeth alone


def test_no_key_serves_two_units():
    keys = [
        f"{x}_{unit}_{y}" for unit in ARKIT_BLENDSHAPES for x, y in (("a", "b"), ("left", "x"), ("BS", "R"))
    ] + list(ARKIT_BLENDSHAPES)
    found = match_names(keys)
    assert len(set(found.values())) == len(found)
