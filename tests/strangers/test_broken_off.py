"""Whatever is raised while a bake runs ends it, is told in a sentence, and frees the way for the next one."""

import shutil
import time
from dataclasses import replace

import bpy
import pytest

from histalk_blender import addon
from histalk_blender.addon import bake_job as jobs
from histalk_blender.addon import live_style, operators, session
from histalk_blender.addon.session import get_session
from histalk_blender.bake.ownership import has_bake


@pytest.fixture
def ordered(blender, tmp_path, monkeypatch, stored_performance):
    performance = replace(  # the network is not what breaks here
        stored_performance, motion=stored_performance.motion.between(20, 100)
    )
    monkeypatch.setattr(jobs, "perform_clip", lambda *_: performance)
    blender.add_strip()
    obj = blender.add_head()
    folder = tmp_path / "caches"
    folder.mkdir()
    obj.histalk.cache_folder = str(folder)
    return obj


def free(blender, obj=None):
    """Nothing runs, and the next bake works."""
    assert get_session().job is None and not get_session().live_style.timer.running
    if obj is not None:
        bpy.context.view_layer.objects.active = obj
        assert "running" not in blender.why_grey()
        blender.bake(kind="basis")
        assert has_bake(obj)


def applying(blender, monkeypatch, **settings):
    """A bake of which the first slices are in the scene."""
    monkeypatch.setattr(jobs, "SLICE", 0.0)
    job = blender.begin(**settings)
    blender.drive(job, until=("applying",))
    job.advance()
    job.advance()
    assert job.state == "applying"
    return job


def leave(blender, job, obj):
    """Drive it to its end as the operator does."""
    assert blender.drive(job) == "failed"
    said = get_session().finish_bake(obj)
    assert said == job.error and said.endswith((".", ",")) and "\n" not in said
    return said


def rename_keys(obj):
    for key in obj.data.shape_keys.key_blocks[1:]:
        key.name = "mine " + key.name


def remove_a_key(obj):
    obj.shape_key_remove(obj.data.shape_keys.key_blocks[-1])


def exchange_the_mesh(obj):
    obj.data = obj.data.copy()


def add_a_vertex(obj):
    obj.data.vertices.add(1)


MEANWHILE = {
    "keys cleared": lambda obj: obj.shape_key_clear(),
    "a key removed": remove_a_key,
    "mesh exchanged": exchange_the_mesh,
    "animation cleared": lambda obj: obj.data.shape_keys.animation_data_clear(),
    "action deleted": lambda obj: bpy.data.actions.remove(obj.data.shape_keys.animation_data.action),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_what_is_done_to_the_mesh_between_two_slices_never_sticks(blender, ordered, monkeypatch, what):
    job = applying(blender, monkeypatch, kind="keys")
    old = ordered.data
    MEANWHILE[what](ordered)
    state = blender.drive(job)
    get_session().finish_bake(ordered)
    assert state == job.state
    if state == "failed":
        assert job.error
        for mesh in (ordered.data, old):
            names = [key.name for key in mesh.shape_keys.key_blocks] if mesh.shape_keys else []
            assert not [name for name in names if "HiSTalk" in name], "half a bake is taken back"
    else:  # it went on and is whole
        assert len(ordered.data.shape_keys.key_blocks) == job.report.keys + 1
    monkeypatch.setattr(jobs, "SLICE", 0.02)
    free(blender, ordered)


def test_keys_renamed_between_two_slices_are_taken_back_when_it_is_cancelled(blender, ordered, monkeypatch):
    job = applying(blender, monkeypatch, kind="keys")
    rename_keys(ordered)
    bpy.ops.histalk.cancel_bake()
    assert job.state == "cancelled" and get_session().job is None
    keys = ordered.data.shape_keys
    assert keys is None or [key.name for key in keys.key_blocks] == ["Basis"]
    monkeypatch.setattr(jobs, "SLICE", 0.02)
    free(blender, ordered)


@pytest.mark.parametrize("kind", ["basis", "keys"])
def test_the_object_is_deleted_between_two_slices(blender, ordered, monkeypatch, kind):
    job = applying(blender, monkeypatch, kind="keys")
    mesh = ordered.data
    mesh.use_fake_user = True
    bpy.data.objects.remove(ordered)
    assert "was deleted" in leave(blender, job, None)
    names = [key.name for key in mesh.shape_keys.key_blocks] if mesh.shape_keys else []
    assert not [name for name in names if "HiSTalk" in name]
    monkeypatch.setattr(jobs, "SLICE", 0.02)
    free(blender, blender.add_head())


def test_the_cache_folder_is_deleted_while_it_listens_and_before_it_is_put_in_place(blender, ordered, tmp_path):
    job = blender.begin(kind="cache")
    while job.state == "running":
        job._read_messages()
        time.sleep(0.005)
    shutil.rmtree(tmp_path / "caches")
    assert "cannot be written" in leave(blender, job, ordered) or "caches" in job.error
    free(blender, ordered)


def test_a_discard_that_raises_does_not_hold_the_way(blender, ordered, monkeypatch):
    job = blender.begin(kind="cache")
    while job.state == "running":
        job._read_messages()
        time.sleep(0.005)

    def refuse(made):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(type(job._data), "discard", refuse)
        assert bpy.ops.histalk.cancel_bake() == {"FINISHED"}
    assert job.state == "cancelled" and "could be taken back" in job.error and get_session().failed_job is job
    free(blender, ordered)


STAGES = {"apply": "the scene's slices begin", "report": "what was made is looked at"}


@pytest.mark.parametrize(
    "error", [KeyError("jawOpen"), ReferenceError("StructRNA"), RuntimeError("no context"), MemoryError()]
)
@pytest.mark.parametrize("stage", STAGES)
def test_any_exception_of_any_stage_is_shown_and_nothing_runs_after_it(blender, ordered, monkeypatch, stage, error):
    def broken(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(jobs, stage, broken)
        with pytest.raises(RuntimeError, match="Unexpected error|bake again"):
            bpy.ops.histalk.bake()
    assert ordered.histalk.report == "" and ordered.session_uid not in get_session().requests
    free(blender, ordered)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), RecursionError("deep")])
def test_a_worker_that_is_torn_down_is_told(blender, ordered, monkeypatch, error):
    def torn(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "perform_clip", torn)
        with pytest.raises(RuntimeError, match=type(error).__name__):
            bpy.ops.histalk.bake()
    get_session().performances.clear()
    free(blender, ordered)


def test_a_worker_that_dies_without_a_word_is_told(blender, ordered, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(jobs.BakeJob, "_work", lambda self: None)
        with pytest.raises(RuntimeError, match="ended without a result"):
            bpy.ops.histalk.bake()
    free(blender, ordered)


def test_a_result_that_cannot_be_stored_is_no_success(blender, ordered, monkeypatch):
    def broken(obj):
        raise AttributeError("'NoneType' object has no attribute 'x'")

    with monkeypatch.context() as patch:
        patch.setattr(session, "visibility_warnings", broken)
        with pytest.raises(RuntimeError, match="AttributeError"):
            bpy.ops.histalk.bake()
    free(blender, ordered)


def test_a_thread_that_cannot_be_started_leaves_nothing_running(blender, ordered, monkeypatch):
    import threading

    def full(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            bpy.ops.histalk.bake()
    free(blender, ordered)


def test_a_slider_whose_bake_breaks_off_stops_its_timer_and_tells(blender, ordered, monkeypatch):
    blender.bake(kind="basis")

    def broken(*_, **__):
        raise KeyError("jawOpen")

    for where, name in (
        (jobs, "apply"),
        (live_style, "check"),
        (live_style, "find_object"),
        (session, "visibility_warnings"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, broken)
            ordered.histalk.lips = ordered.histalk.lips + 0.1
        assert get_session().job is None, name
        told = ordered.histalk.warnings + (get_session().failed_job.error if get_session().failed_job else "")
        assert "KeyError" in told or name == "find_object"
        blender.bake(kind="basis")
    free(blender, ordered)


def test_a_slider_beside_another_s_bake_does_not_wait_for_ever(blender, ordered):
    blender.bake(kind="basis")
    job = blender.begin(kind="keys")
    ordered.histalk.lips = 1.5
    assert get_session().job is job
    blender.drive(job)
    get_session().finish_bake(ordered)
    free(blender, ordered)


def test_remove_tells_what_it_cannot_do(blender, ordered, monkeypatch):
    blender.bake(kind="basis")

    def broken(*_, **__):
        raise KeyError("HiSTalk basis 00")

    with monkeypatch.context() as patch:
        patch.setattr(operators, "remove_bake", broken)
        with pytest.raises(RuntimeError, match="Unexpected error .KeyError"):
            bpy.ops.histalk.remove_bake()
    assert bpy.ops.histalk.remove_bake() == {"FINISHED"}
    free(blender, ordered)


def test_undo_between_two_slices(blender, ordered, monkeypatch):
    bpy.ops.ed.undo_push(message="ready")
    bpy.context.object.location.x = 3
    bpy.ops.ed.undo_push(message="moved")
    job = applying(blender, monkeypatch, kind="keys")
    bpy.ops.ed.undo()
    state = blender.drive(job)
    obj = bpy.data.objects["HiSTalk Head"]
    get_session().finish_bake(obj)
    assert state in ("failed", "done")
    if state == "failed":
        assert job.error
    monkeypatch.setattr(jobs, "SLICE", 0.02)
    free(blender, obj)


def test_a_file_opened_between_two_slices(blender, ordered, monkeypatch):
    job = applying(blender, monkeypatch, kind="keys")
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert job.state == "cancelled" and get_session().job is None and get_session().failed_job is None


def test_switching_the_extension_off_between_two_slices(blender, ordered, monkeypatch):
    before = blender.state()
    job = applying(blender, monkeypatch, kind="keys")
    addon.unregister()
    assert job.state == "cancelled" and blender.state() == before
    addon.register()


def test_a_cancel_that_comes_when_all_is_in_place_says_so(blender, ordered, monkeypatch):
    job = blender.begin(kind="basis")
    blender.drive(job, until=("applying",))
    while job._slices is not None:
        job.advance()
    bpy.ops.histalk.cancel_bake()
    assert job.state == "failed" and "in place already" in job.error and has_bake(ordered)
    free(blender, ordered)


class Window:
    """A modal operator's view of Blender, with a timer that is counted."""

    def __init__(self):
        self.timers, self.window, self.window_manager = 0, None, self

    def event_timer_add(self, *_, **__):
        self.timers += 1
        return object()

    def event_timer_remove(self, timer):
        self.timers -= 1

    def modal_handler_add(self, operator):
        pass


class Operator:
    """The bake operator's own methods, driven by hand: Blender calls `modal` in windows only."""

    invoke = operators.HISTALK_OT_bake.invoke
    modal, cancel = operators.HISTALK_OT_bake.modal, operators.HISTALK_OT_bake.cancel
    _leave, report_error = operators.HISTALK_OT_bake._leave, operators.HISTALK_OT_bake.report_error

    def __init__(self, blender):
        self.said, self._stage = [], blender

    def begin(self, window, **settings):
        self._job, self._timer = self._stage.begin(**settings), window.event_timer_add()

    def report(self, kinds, sentence):
        self.said.append((*kinds, sentence))


class Tick:
    type = "TIMER"


@pytest.mark.parametrize("broken", ["advance", "finish_bake", "redraw", "find_object"])
def test_the_modal_leaves_no_timer_and_no_job_behind(blender, ordered, monkeypatch, broken):
    window, operator = Window(), Operator(blender)
    operator.begin(window, kind="basis")

    def fail(*_, **__):
        raise KeyError(broken)

    with monkeypatch.context() as patch:
        patch.setattr({"advance": jobs.BakeJob, "finish_bake": session.Session}.get(broken, operators), broken, fail)
        result = {"PASS_THROUGH"}
        while result in ({"PASS_THROUGH"}, {"RUNNING_MODAL"}):
            result = operator.modal(window, Tick())
    assert result == {"CANCELLED"} and window.timers == 0
    assert any(kind == "ERROR" and "KeyError" in sentence for kind, sentence in operator.said)
    free(blender, ordered)


def test_the_modal_ends_quietly_after_cancel_was_pressed(blender, ordered):
    window, operator = Window(), Operator(blender)
    operator.begin(window, kind="basis")
    bpy.ops.histalk.cancel_bake()
    assert get_session().job is None
    assert operator.modal(window, Tick()) == {"CANCELLED"} and window.timers == 0 and operator.said == []
    free(blender, ordered)
