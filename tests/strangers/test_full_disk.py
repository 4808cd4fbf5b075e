"""A full disk stops a batch with "make room", whatever was being written, and leaves no partial files."""

import subprocess
from dataclasses import replace

import bpy
import pytest
from assets import SPEECH

from histalk_blender import files
from histalk_blender.batch import worker
from histalk_blender.batch.job import Job
from histalk_blender.cli.main import main
from histalk_blender.errors import HiSTalkError


@pytest.fixture
def disk(tmp_path):
    """A folder whose disk has so many bytes, after it was told how many."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(size):
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True
        ).returncode:
            pytest.skip("no file system may be mounted here")
        return place

    filepaths = bpy.context.preferences.filepaths
    before, filepaths.use_file_compression = filepaths.use_file_compression, False  # as Blender 5 has it, it would fit
    yield sized
    filepaths.use_file_compression = before
    subprocess.run(["umount", "-l", place], capture_output=True)


@pytest.mark.parametrize(
    ("kind", "bake", "size"),
    [
        # Where Blender fails, it takes its unfinished file away, and then there is room again.
        ("blend", "basis", "1300k"),
        ("blend", "keys", "2m"),
        ("blend", "keys", "3m"),
        ("blend", "cache", "3m"),
        ("abc", "basis", "2m"),
        ("usd", "basis", "2m"),
        ("glb", "arkit", "3m"),
        ("pc2", "basis", "1m"),
        ("npz", "basis", "1m"),
    ],
)
def test_a_full_disk_aborts_the_batch_and_not_the_clip(stored_performance, disk, kind, bake, size):
    performance = replace(stored_performance, motion=stored_performance.motion.between(0, 40))
    place, job = disk(size), Job(row=1, name="line", audio=SPEECH, bake=bake, outputs=(kind,))
    with pytest.raises(worker.BatchAborted, match="make room"):
        worker._write(worker.WorkerConfig(place, None, "cpu"), worker._Clip(job, performance=performance))
    assert {path.suffix for path in place.rglob("*")} <= {".pc2"}


def test_a_bake_that_cannot_be_saved_leaves_no_cache(disk, monkeypatch, stored_performance, head):
    place, cache = disk("8m"), 12 * len(head.vertices) * len(stored_performance.motion.at_fps(10))
    monkeypatch.setattr("histalk_blender.cli.common.predict_file", lambda *arguments, **options: stored_performance)
    arguments = ["bake", str(SPEECH), "--out", str(place / "out.blend"), "--bake", "cache", "--fps", "10"]
    (place / "ballast").write_bytes(bytes((8 << 20) - cache - 500_000))
    with pytest.raises(HiSTalkError, match="out.blend' cannot be written"):
        main.main(arguments, standalone_mode=False)
    assert [path.name for path in place.iterdir()] == ["ballast"]
    (place / "out.pc2").write_bytes(b"of an earlier .blend")
    with pytest.raises(HiSTalkError, match="make room"):
        main.main(arguments, standalone_mode=False)
    assert (place / "out.pc2").read_bytes() == b"of an earlier .blend" and len(list(place.iterdir())) == 2


def test_restore_on_error_undoes_changes(tmp_path):
    path = tmp_path / "a.pc2"
    for before in (None, b"old"):
        for after in (b"new", None):
            path.unlink(missing_ok=True)
            if before is not None:
                path.write_bytes(before)
            with pytest.raises(KeyboardInterrupt), files.restore_on_error(path):
                if after is not None:
                    files.atomic_write(path, after)
                raise KeyboardInterrupt
            assert [item.read_bytes() for item in tmp_path.iterdir()] == ([before] if before else [])
    with files.restore_on_error(path):
        files.atomic_write(path, b"new")
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [b"new"]
