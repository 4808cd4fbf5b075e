"""The motion as ARKit blendshapes: what the teacher put in comes out, and any spelling of the keys is understood."""

import csv
import json

import numpy as np
import pytest

from histalk_blender.errors import HiSTalkError
from histalk_blender.head.arkit import ARKIT_BLENDSHAPES
from histalk_blender.motion.arkit_fit import fit_blendshapes, match_names, write_arkit_weights
from histalk_blender.motion.motion import Motion
from histalk_blender.training.teacher.coarticulation import arkit_track

SPOKEN = [("SIL", 0, 0.2), ("P", 0.2, 0.3), ("AA", 0.3, 0.5), ("UW", 0.5, 0.7), ("F", 0.7, 0.8), ("IY", 0.8, 1.0)]


@pytest.fixture(scope="module")
def track():
    return arkit_track(SPOKEN, 1.2)


def test_the_teacher_s_units_come_back(head, track):
    weights, over = fit_blendshapes(Motion(track, head.blendshape_deltas(), 30.0), head, smoothness=0)
    assert over.max() < 5e-5
    jaw = ARKIT_BLENDSHAPES.index("jawOpen")
    np.testing.assert_allclose(weights[:, jaw], track[:, jaw], atol=0.05)
    assert weights.min() >= 0 and weights.max() <= 1


def test_the_network_s_motion_fits_to_a_fraction_of_a_millimetre(head, performance):
    weights, over = fit_blendshapes(performance.motion, head)
    assert over.max() < 5e-4
    assert np.abs(np.diff(weights, axis=0)).max() < 0.6


def test_smoothness_smooths(head, track):
    noisy = np.clip(track + np.random.default_rng(0).normal(0, 0.05, track.shape), 0, 1)
    shaken = Motion(noisy, head.blendshape_deltas(), 30.0)
    jumps = [np.abs(np.diff(fit_blendshapes(shaken, head, s)[0], axis=0)).mean() for s in (0.0, 0.5)]
    assert jumps[1] < 0.7 * jumps[0]


@pytest.mark.parametrize(
    "spell",
    [
        lambda n: n,
        str.lower,
        lambda n: n[0].upper() + n[1:],
        lambda n: n.replace("Left", "_L").replace("Right", "_R"),
        lambda n: n.replace("Left", ".l").replace("Right", ".r"),
        lambda n: "".join(f" {c.lower()}" if c.isupper() else c for c in n),
        lambda n: "Face:" + n,
    ],
)
def test_common_spellings_are_understood(spell):
    keys = [spell(name) for name in ARKIT_BLENDSHAPES]
    assert match_names(["Basis", "Smile", *keys]) == dict(zip(ARKIT_BLENDSHAPES, keys))


def test_keys_of_other_names_are_left_alone():
    assert match_names(["Basis", "Frown", "jaw", "L", "", "..."]) == {}


def test_tables_hold_every_frame(tmp_path, track):
    write_arkit_weights(tmp_path / "a.csv", track, 30.0)
    rows = list(csv.reader((tmp_path / "a.csv").open()))
    assert rows[0] == ["frame", "seconds", *ARKIT_BLENDSHAPES] and len(rows) == len(track) + 1
    np.testing.assert_allclose(np.array(rows[1:], float)[:, 2:], track, atol=1e-5)
    write_arkit_weights(tmp_path / "a.json", track, 30.0)
    data = json.loads((tmp_path / "a.json").read_text())
    np.testing.assert_allclose(data["weights"], track, atol=1e-5)
    with pytest.raises(HiSTalkError, match="cannot be written"):
        write_arkit_weights(tmp_path / "none" / "a.csv", track, 30.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.json"]
