"""Flamenco's job type in Duktape, which refuses most of what ECMAScript 5.1 lacks; Flamenco's objects are made up."""

import json
from pathlib import Path
from types import SimpleNamespace

import dukpy
import pytest

import histalk_blender
from histalk_blender.bake.kinds import KINDS
from histalk_blender.batch.output_kinds import output_names
from histalk_blender.cli import batch

SCRIPT = (Path(histalk_blender.__file__).parent / "data" / "histalk_dialogue.js").read_text()
# As Flamenco's author.go and job_compilers.go have them; a task is given to a job as a copy of what it is by then.
FLAMENCO = """
var compiled = [];
var author = {
    Task: function (name, type) {
        return {
            name: name, type: type, commands: [], dependencies: [],
            addCommand: function (command) { this.commands.push(command); },
            addDependency: function (task) { this.dependencies.push(task.name); }
        };
    },
    Command: function (name, parameters) { return {name: name, parameters: parameters}; }
};
function submit(settings) {
    try {
        compileJob({settings: settings, addTask: function (task) { compiled.push(JSON.parse(JSON.stringify(task))); }});
    } catch (refused) {
        return {refused: refused};
    }
    return {tasks: compiled};
}
"""
GOOD = {
    "dialogue": "//dialogue",
    "dialogue_path": "/mnt/show/dialogue of act 1",
    "output": "//out",
    "output_path": "/mnt/show/out 1",
    "clips": 120,
    "chunk_size": 50,
    "outputs": "pc2",
    "bake": "automatic",
    "use_blend": False,
    "object": "",
    "blendfile": "/mnt/jobs/shot 1.blend",
    "fps": 23.976,
    "start": 1001,
    "device": "auto",
    "blender_cmd": "{blender}",
}


def run(expression, settings=None):
    """Strict, as Flamenco compiles scripts."""
    return dukpy.evaljs(f"'use strict'; {FLAMENCO}; {SCRIPT}; {expression}", settings=settings)


def compiled(**changes):
    return run("submit(dukpy.settings)", GOOD | changes)


def option(arguments, name):
    return arguments[arguments.index(name) + 1]


@pytest.mark.parametrize(("clips", "size"), [(120, 50), (100, 50), (1, 50), (7, 1), (3, 3)])
def test_chunks_cover_each_clip_once_and_the_report_waits_for_all(clips, size):
    *chunks, report = compiled(clips=clips, chunk_size=size)["tasks"]
    rows = [option(task["commands"][0]["parameters"]["args"], "--rows") for task in chunks]
    spans = [tuple(map(int, span.split("-"))) for span in rows]
    assert [clip for first, last in spans for clip in range(first, last + 1)] == list(range(1, clips + 1))
    assert all(last - first < size for first, last in spans)
    assert report["dependencies"] == [task["name"] for task in chunks]
    assert not any(task["dependencies"] for task in chunks)
    ledgers = [option(task["commands"][0]["parameters"]["args"], "--ledger") for task in chunks]
    assert ledgers == [f"/mnt/show/out 1/ledgers/{span}.sqlite" for span in rows]


def test_commands_are_those_of_the_command_line_and_paths_may_have_spaces():
    *chunks, report = compiled()["tasks"]
    for task in (*chunks, report):
        (command,) = task["commands"]
        assert task["type"] == "blender" and command["name"] == "exec" and set(command["parameters"]) == {"exe", "args"}
        assert command["parameters"]["exe"] == "{blender}"
        assert all(isinstance(argument, str) for argument in command["parameters"]["args"])
    called = ["--background", "--command", "histalk", "batch", GOOD["dialogue_path"], "--out", GOOD["output_path"]]
    assert report["commands"][0]["parameters"]["args"] == [*called, "--merge"]
    assert chunks[-1]["commands"][0]["parameters"]["args"] == [
        *called,
        "--rows",
        "101-120",
        "--ledger",
        "/mnt/show/out 1/ledgers/101-120.sqlite",
        "--retry-failed",
        "--outputs",
        "pc2",
        "--start",
        "1001",
        "--device",
        "auto",
        "--fps",
        "23.976",
    ]


def test_the_command_line_accepts_the_tasks_arguments():
    assert tuple(run("OUTPUTS")) == output_names() and set(run("BAKES")) - {"automatic"} == {
        kind.name for kind in KINDS
    }
    for task in compiled(outputs="abc,glb", fps=25)["tasks"]:
        arguments = task["commands"][0]["parameters"]["args"]
        assert arguments[:4] == ["--background", "--command", "histalk", "batch"]
        batch.command.make_context("batch", list(arguments[4:]))


def test_settings_become_options():
    asked = compiled(
        outputs="glb; abc",
        bake="arkit",
        device="cuda:0,cuda:1",
        blender_cmd=" /opt/blender 4.5/blender ",
        use_blend=True,
        object="Old Man",
    )
    parameters = asked["tasks"][0]["commands"][0]["parameters"]
    assert parameters["exe"] == "/opt/blender 4.5/blender" and "--fps" not in parameters["args"]
    for name, value in {
        "--outputs": "glb,abc",
        "--bake": "arkit",
        "--device": "cuda:0,cuda:1",
        "--shot": "/mnt/jobs/shot 1.blend",
        "--object": "Old Man",
    }.items():
        assert option(parameters["args"], name) == value


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dialogue_path": "", "dialogue": ""}, "Dialogue is empty"),
        ({"dialogue_path": "", "dialogue": "//dialogue"}, "only Blender can follow"),
        ({"output_path": None, "output": None}, "Output is empty"),
        ({"clips": 0}, "Clips is '0'"),
        ({"clips": None}, "Clips is ''"),
        ({"clips": 1.5}, "Clips is '1.5'"),
        ({"chunk_size": 0}, "Chunk Size is '0'"),
        ({"outputs": ""}, "Outputs are ''"),
        ({"outputs": "pc2,obj"}, "Outputs are 'pc2,obj'"),
        ({"bake": "shapes"}, "Bake is 'shapes'"),
        ({"outputs": "glb", "bake": "basis"}, "glTF plays ARKit curves"),
        ({"outputs": "pc2,fbx", "bake": "basis"}, "FBX plays ARKit curves"),
        ({"fps": 0}, "Fps is '0'"),
        ({"fps": None}, "Fps is ''"),
        ({"start": 0.5}, "Start is '0.5'"),
        ({"device": "gpu"}, "Device is 'gpu'"),
        ({"blender_cmd": " "}, "Blender Cmd is empty"),
        ({"use_blend": True, "blendfile": ""}, "submit from Blender"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(changes, sentence):
    refused = compiled(**changes)["refused"]
    assert sentence in refused and refused.endswith(".")


def test_settings_are_as_flamenco_describes_them():
    """Names and types after Flamenco's AvailableJobSetting; the script reads all of them and no others."""
    settings = {setting["key"]: setting for setting in run("JOB_TYPE")["settings"]}
    assert set(settings) == set(GOOD)
    types = {"string": str, "int32": int, "float": float, "bool": bool}
    for setting in settings.values():
        assert set(setting) <= {
            "key",
            "type",
            "subtype",
            "choices",
            "propargs",
            "description",
            "default",
            "eval",
            "evalInfo",
            "visible",
            "required",
        }
        assert setting.get("visible", "visible") in {"visible", "hidden", "submission", "web"}
        assert setting.get("subtype", "file_path") in {"file_path", "dir_path"}
        assert type(setting.get("default", types[setting["type"]]())) is types[setting["type"]]
        assert setting["description"] and not setting["description"].endswith("."), "Blender adds the full stop"
    assert settings["bake"]["default"] in settings["bake"]["choices"] == run("BAKES")
    assert settings["blendfile"]["type"] == "string", "the add-on fills it in"


def evaluated(key, **settings):
    """As Flamenco's add-on evaluates a setting: these names are local, so that no lambda sees them."""
    (expression,) = [setting["eval"] for setting in run("JOB_TYPE")["settings"] if setting["key"] == key]
    names = {"settings": SimpleNamespace(**settings), "Path": Path, "abspath": lambda path: Path(path).resolve()}
    return eval(expression, {}, names)


def test_the_submitters_blender_counts_the_clips(tmp_path):
    (tmp_path / "act").mkdir()
    for name in ("a.wav", "act/b.FLAC", "act/c.mp3", "d.ogg", ".e.wav", "notes.txt"):
        (tmp_path / name).touch()
    table, lines = tmp_path / "manifest.csv", tmp_path / "manifest.jsonl"
    table.write_text("\ufeffaudio;name\na.wav;one\n;\n\nd.ogg;two\n", encoding="utf-8")
    lines.write_text("".join(json.dumps({"audio": name}) + "\n\n" for name in ("a.wav", "d.ogg", "x.wav")))
    counts = [evaluated("clips", dialogue=str(path)) for path in (tmp_path, table, lines, tmp_path / "nowhere")]
    assert counts == [4, 2, 3, 0] and all(type(count) is int for count in counts)
    assert evaluated("clips", dialogue="") == 0 and evaluated("dialogue_path", dialogue="") == ""
    assert evaluated("output_path", output=str(tmp_path)) == str(tmp_path)
