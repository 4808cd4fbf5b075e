"""What the tests share: the real head, the real weights, real speech."""

import re
import signal
from importlib.util import find_spec

import numpy as np
import pytest
from assets import MOTION, SPEECH
from safetensors import safe_open

from histalk_blender.motion.motion import Motion

# A shell's background job ignores Ctrl-C, and so would all that tests start to press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What a test needs is read off its file and fixtures, so that no marker is forgotten.
NEEDS = {
    "blender": re.compile(r"\bbpy\b|histalk_blender\.(bake|addon)\b|^from (stage|test_batch) import", re.MULTILINE),
    "torch": re.compile(r"\btorch\b|histalk_blender\.(network|training)\b"),
}
FIXTURES = {"blender": {"blender", "scene"}, "torch": {"model", "performance"}}
HAS_BLENDER = find_spec("bpy") is not None


def pytest_ignore_collect(collection_path):
    """Without Blender's module, what needs it is not even imported."""
    if not HAS_BLENDER and collection_path.suffix == ".py" and collection_path.name.startswith("test_"):
        return NEEDS["blender"].search(collection_path.read_text()) is not None or None
    return True if not HAS_BLENDER and collection_path.name == "addon" else None


def pytest_collection_modifyitems(items):
    needed = {}
    for item in items:
        if item.path not in needed:
            text = item.path.read_text()
            needed[item.path] = {name for name, words in NEEDS.items() if words.search(text)}
        fixtures = set(item.fixturenames)
        for name in needed[item.path] | {name for name, given in FIXTURES.items() if given & fixtures}:
            item.add_marker(name)


@pytest.fixture(scope="session")
def head():
    from histalk_blender.head.head import load_head

    return load_head()


@pytest.fixture(scope="session")
def model():
    pytest.importorskip("torch", reason="no torch for this Python here")
    from histalk_blender.network import load_checkpoint
    from histalk_blender.synthesis import WEIGHTS

    return load_checkpoint(WEIGHTS)


@pytest.fixture(scope="session")
def spoken():
    """The network's motion of the bundled sentence, stored, as Blender 5.2's Python has no torch here."""
    from histalk_blender.synthesis import WEIGHTS

    with safe_open(WEIGHTS, "np") as file:
        basis = file.get_tensor("outputs.histalk.basis")
    return Motion(np.load(MOTION), basis.astype(np.float32), 30.0)


@pytest.fixture(scope="session")
def speech():
    from histalk_blender.audio.clip import read_audio

    return read_audio(SPEECH)


@pytest.fixture(scope="session")
def performance(speech, model, head):
    from histalk_blender.synthesis import synthesize

    return synthesize(speech, model, head)


@pytest.fixture(scope="session")
def stored_performance(spoken, head):
    """What the network makes of the bundled sentence, without the network."""
    from histalk_blender.synthesis import WEIGHTS, Performance

    with safe_open(WEIGHTS, "np") as file:
        outputs = {name: file.get_tensor(f"outputs.{name}.basis").astype(np.float32) for name in ("histalk", "flame")}
    shapes = head.landmarks(outputs["histalk"])
    return Performance(spoken, outputs, head.vertices, head.landmarks(head.vertices), shapes, "histalk")
