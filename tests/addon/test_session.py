"""The add-on's state is one session: no other module keeps any, and what draws changes nothing."""

import ast
import importlib
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import blf
import bpy
import pytest

from histalk_blender import addon
from histalk_blender.addon import panel, preferences
from histalk_blender.addon.session import get_session
from histalk_blender.addon.ui import draw_sentence

FOLDER = Path(addon.__file__).parent
MODULES = sorted(path for path in FOLDER.glob("*.py"))
CHANGING = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def module_names(tree):
    """Names that a module's own statements give to values."""
    assignments = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [target for node in assignments for target in getattr(node, "targets", None) or [node.target]]
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def changed(tree, names):
    """Of these, those that functions rebind, or change by a method or an item."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            node = node.func.value
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            node = node.value
        else:
            continue
        if isinstance(node, ast.Name) and node.id in names:
            yield node.id


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_only_the_session_s_module_has_state(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set(changed(tree, module_names(tree)))
    assert found == ({"_session"} if path.stem == "session" else set())
    decorators = [ast.unparse(each) for node in ast.walk(tree) for each in getattr(node, "decorator_list", ())]
    assert not [text for text in decorators if "cache" in text]


def test_the_search_for_state_finds_it():
    source = (
        "a = []\nb = {}\nc = None\nd = set()\ne = 3\ndef f():\n global c\n a.append(1)\n b[1] = 2\n del d[0]\n e + 1"
    )
    tree = ast.parse(source)
    assert set(changed(tree, module_names(tree))) == {"a", "b", "c", "d"}


def test_nothing_is_remembered_after_the_add_on_was_off(blender):
    blender.add_strip()
    obj = blender.add_head()
    blender.bake(kind="basis")
    old = get_session()
    assert obj.session_uid in old.requests and old.performances
    addon.unregister()
    with pytest.raises(RuntimeError, match="not registered"):
        get_session()
    addon.register()
    new = get_session()
    assert new is not old and not new.requests and not new.performances
    assert new.job is None and new.failed_job is None and new.environment.installation is None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("HiSTalk") and thread.is_alive()]


def test_another_file_keeps_what_was_predicted_and_nothing_of_the_objects(blender):
    blender.add_strip()
    blender.add_head()
    blender.bake(kind="basis")
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert get_session().performances and not get_session().requests


class Layout:
    """Takes whatever a panel draws; properties and operators are looked up as Blender would."""

    def __init__(self):
        self.labels = []

    def __getattr__(self, name):
        if name in ("row", "column", "box", "split"):
            return lambda *_, **__: self
        if name == "label":
            return lambda text="", **_: self.labels.append(text)
        if name in ("prop", "prop_search"):
            return lambda data, prop, *_, **__: getattr(data, prop)
        if name == "operator":
            return lambda identifier, **__: getattr(bpy.ops.histalk, identifier.split(".")[1]).poll()
        if name == "progress":
            return lambda **_: None
        raise AttributeError(name)


class Context:
    """bpy.context with a region to be drawn in, and the scale that Blender knows only with a window."""

    region = SimpleNamespace(width=300)

    @property
    def preferences(self):
        known = bpy.context.preferences
        system = SimpleNamespace(ui_scale=1.0, use_online_access=False)
        return SimpleNamespace(addons=known.addons, ui_styles=known.ui_styles, system=system)

    def __getattr__(self, name):
        return getattr(bpy.context, name)


def draw(cls, **members):
    """Call the drawing methods of a panel's class, on a stand-in for the panel. Returns the labels."""
    drawn = type("Drawn", (cls.__mro__[1] if issubclass(cls, bpy.types.Panel) else object,), members)
    drawn.layout, context = Layout(), Context()
    if not hasattr(cls, "poll") or cls.poll(context):
        for method in ("draw_header_preset", "draw"):
            if hasattr(cls, method):
                getattr(cls, method)(drawn(), context)
    return drawn.layout.labels


def saved(obj):
    """The values of all settings of an object."""
    rows = [(row.name, row.key, row.use) for row in obj.histalk.unit_keys]
    return rows, {
        name: getattr(obj.histalk, name) for name in obj.histalk.bl_rna.properties.keys() if name != "unit_keys"
    }


@pytest.mark.parametrize("kind", ["basis", "cache", "keys", "arkit"])
def test_drawing_starts_no_thread_edits_no_path_and_writes_no_property(blender, kind, monkeypatch):
    def start(thread):
        raise AssertionError(f"{thread.name} was started by a panel")

    blender.add_strip()
    obj = blender.add_head(units=True)
    obj.histalk.kind = kind
    bpy.ops.histalk.map_blendshapes()
    before, path, modules = saved(obj), list(sys.path), {name for name in sys.modules if name.startswith("torch")}
    monkeypatch.setattr(threading.Thread, "start", start)
    for selected in (obj, None):
        bpy.context.view_layer.objects.active = selected
        labels = [text for cls in panel.CLASSES for text in draw(cls)]
        assert labels
    assert get_session().gpu.names is None and get_session().preloader.thread is None
    assert saved(obj) == before and sys.path == path
    assert {name for name in sys.modules if name.startswith("torch")} == modules


def test_sentences_are_broken_where_a_label_would_be_cut_off(blender):
    text = "209 frames as 10 shape keys, at most 0.07 mm off, in 7.4 s, then averyverylongwordthatfitsintonoline"
    layout, context = Layout(), Context()
    draw_sentence(layout, context, text, "CHECKMARK")
    assert " ".join(layout.labels) == text and len(layout.labels) > 2
    room = context.region.width - 100
    assert all(blf.dimensions(0, line)[0] <= room for line in layout.labels if " " in line)


@pytest.mark.parametrize("source", ["INSTALLED", "FOLDER"])
def test_drawing_the_preferences_changes_nothing_either(blender, source, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", None)
    path = list(sys.path)
    members = {"source": source, "folder": "", "place": None, "build": "CPU", "preload_model": True}
    cls = preferences.HiSTalkPreferences
    monkeypatch.setattr(importlib.import_module(cls.__module__), "install_folder", lambda: Path(bpy.app.tempdir))
    members["_draw_install"] = cls._draw_install
    assert draw(cls, **members) and sys.path == path
