"""A topology is one class: with it in the list, its heads speak from the panel, the command line and a batch."""

import bpy
import numpy as np
import pytest
from assets import SPEECH
from click.testing import CliRunner
from stage import blender  # noqa: F401

from histalk_blender.cli.main import main
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.head import load_head
from histalk_blender.head.topologies import TOPOLOGIES, Topology, recognise, size_of, topology_named
from histalk_blender.head.topologies.bundled import BundledTopology


class Toy(Topology):
    """Every second vertex of the bundled head, the last one first."""

    name = "toy"
    label = "toy head"
    kept = slice(None, None, -2)

    @property
    def vertices(self):
        return len(load_head().vertices[self.kept])

    def landmarks(self, points):
        head = load_head()
        marks, kept = head.landmarks(head.vertices), head.vertices[self.kept]
        return points[..., np.linalg.norm(kept - marks[:, None], axis=2).argmin(1), :]

    def retarget(self, displacements):
        return displacements[..., self.kept, :]


class Reversed(Toy):
    """As many vertices as the bundled head has, in another order."""

    name = "reversed"
    label = "reversed head"
    kept = slice(None, None, -1)


@pytest.fixture(params=[Toy, Reversed])
def toy(request):
    topology = request.param()
    TOPOLOGIES.append(topology)
    yield topology
    TOPOLOGIES.remove(topology)


@pytest.fixture
def rest(toy, head):
    """A head of that topology in centimetres, turned to FLAME's axes."""
    return (100 * head.vertices[toy.kept]) @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])


def seen(blender, obj, rest, head, toy, motion, frame):
    """How far the mesh's motion at a scene frame is from the bundled head's, in metres of that head."""
    moved = (blender.vertices(obj, frame) - rest) @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]) / 100
    expected = motion.displacements(frame - 1, frame)[0][toy.kept]
    assert np.abs(expected).max() > 0.001
    return np.linalg.norm(moved - expected, axis=1).max()


def test_it_is_recognised_by_its_order_and_size(toy, rest, head):
    assert recognise(rest) is toy and topology_named(toy.name) is toy
    assert recognise(head.vertices) is not toy and isinstance(recognise(head.vertices), BundledTopology)
    assert size_of(rest) == pytest.approx(100, rel=0.05)
    shuffled = np.random.default_rng(0).permutation(rest)
    assert size_of(shuffled) == 1
    with pytest.raises(HiSTalkError, match="vertex order is not"):
        recognise(shuffled)


@pytest.mark.parametrize("kind", ["basis", "cache", "keys"])
def test_the_panel_bakes_on_it(blender, toy, rest, head, spoken, kind, tmp_path):
    obj = blender.add_mesh("Toy", rest)
    blender.add_strip(frame=1)
    blender.bake(kind=kind, cache_folder=str(tmp_path))
    assert seen(blender, obj, rest, head, toy, spoken.at_fps(24), 61) < 2e-4


def test_the_panel_names_it_where_none_fits(blender, toy):
    blender.add_mesh("Dust", np.random.default_rng(0).normal(size=(99, 3)))
    blender.add_strip()
    assert f"a {toy.label} {toy.vertices}" in blender.why_grey()


@pytest.fixture
def shot(blender, rest, tmp_path):
    """A .blend with such a head, at 30 frames a second."""
    pytest.importorskip("torch", reason="no torch for this Python here")
    blender.add_mesh("Toy", rest)
    blender.add_mesh("Dust", np.zeros((9, 3)))
    bpy.context.scene.render.fps = 30
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    return tmp_path / "shot.blend"


@pytest.mark.parametrize("named", [["--object", "Toy"], []])
def test_the_command_line_bakes_on_it(blender, shot, named, toy, rest, head, spoken, tmp_path):
    out = tmp_path / "out.blend"
    arguments = ["bake", SPEECH, "--out", out, "--shot", shot, *named]
    said = CliRunner().invoke(main, [str(word) for word in arguments])
    assert said.exit_code == 0, said.output
    bpy.ops.wm.open_mainfile(filepath=str(out))
    assert seen(blender, bpy.data.objects["Toy"], rest, head, toy, spoken, 61) < 2e-4


def test_a_batch_bakes_on_it(blender, shot, toy, rest, head, spoken, tmp_path):
    manifest = tmp_path / "jobs.csv"
    manifest.write_text(f'audio,name,shot,object,outputs\n{SPEECH},line,{shot},Toy,"blend,npz"\n')
    said = CliRunner().invoke(main, ["batch", str(manifest), "--out", str(tmp_path / "out")])
    assert said.exit_code == 0, said.output
    with np.load(tmp_path / "out" / "line.npz") as data:
        assert str(data["topology"]) == toy.name
        moved = data["displacements"][60]
    np.testing.assert_allclose(moved, toy.carry(spoken.displacements(60, 61)[0], rest), atol=2e-3)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / "line.blend"))
    assert seen(blender, bpy.data.objects["Toy"], rest, head, toy, spoken, 61) < 2e-4
