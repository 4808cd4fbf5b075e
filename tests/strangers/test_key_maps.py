"""A key map that is none changes nothing of the one that is there."""

import json
import os

import bpy
import pytest

GOOD = {"jawOpen": "JAWOPEN", "mouthClose": "MOUTHCLOSE"}
MAPS = {
    "deep": "[" * 100_000,
    "deep inside": '{"jawOpen": ' * 50_000,
    "half a letter": '{"jawOpen": "\\ud800"}',
    "half a letter as a unit": '{"\\udfff": "x"}',
    "NUL": '{"jawOpen": "a\\u0000b"}',
    "no key": '{"jawOpen": 7}',
    "a list for a key": '{"jawOpen": ["JAWOPEN"]}',
    "a list": '["jawOpen"]',
    "a word": '"jawOpen"',
    "a number": "7",
    "text": "jawOpen",
    "empty": "",
    "unknown": '{"jawClosed": "JAWOPEN"}',
    "Latin-1": b'{"jawOpen": "caf\xe9"}',
    "long": json.dumps({"jawOpen": "x" * 5000}),
    "huge": b" " * (2 << 20),
    "digits": '{"jawOpen": 1%s}' % ("0" * 5000),
}


@pytest.fixture
def creature(blender):
    creature = blender.add_creature(str.upper)
    creature.histalk.set_mapping(GOOD)
    return creature


@pytest.mark.parametrize("name", MAPS)
def test_a_map_that_is_none_is_refused_and_the_old_one_stays(creature, tmp_path, name):
    data = MAPS[name]
    (tmp_path / "map.json").write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(RuntimeError, match="map.json") as refused:
        bpy.ops.histalk.load_map(filepath=str(tmp_path / "map.json"))
    assert "Traceback" not in str(refused.value) and creature.histalk.mapping() == GOOD


def test_a_map_that_is_no_file_is_not_waited_for(creature, tmp_path):
    os.mkfifo(tmp_path / "map.json")
    with pytest.raises(RuntimeError, match="pipe"):
        bpy.ops.histalk.load_map(filepath=str(tmp_path / "map.json"))
    assert creature.histalk.mapping() == GOOD


def test_a_map_that_was_saved_comes_back(creature, tmp_path):
    assert bpy.ops.histalk.save_map(filepath=str(tmp_path / "map.json")) == {"FINISHED"}
    creature.histalk.set_mapping({})
    assert bpy.ops.histalk.load_map(filepath=str(tmp_path / "map.json")) == {"FINISHED"}
    assert creature.histalk.mapping() == GOOD
