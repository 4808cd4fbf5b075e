"""`histalk batch --ray`: clips are spread over real worker processes, and one that is killed loses none."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from test_batch import batch, clips, made

# Before Ray is imported; workers get the same priority as everything else here.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
ray = pytest.importorskip("ray", reason="Ray is not installed")


@pytest.fixture(scope="module")
def cluster():
    """Its address."""
    context = ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield context.address_info["gcs_address"]
    ray.shutdown()


def actors():
    """Processes of our actors."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Actor"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_all_clips_are_made_though_a_worker_is_killed(cluster, tmp_path, capfd):
    folder, out = clips(tmp_path / "in", 12), tmp_path / "out"
    killed = []

    def kill():
        while len(list(out.rglob("*.pc2"))) < 2:
            time.sleep(0.05)
        killed.extend(actors())
        os.kill(killed[0], signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    code, said, complained = batch(capfd, folder, "--out", out, "--ray", cluster)
    assert code == 0 and "12 done, 0 failed" in said, complained
    assert len(killed) == 2 and len(made(out)) == 12


def test_a_full_disk_ends_the_run_with_one_sentence(cluster, tmp_path, capfd):
    folder, out = clips(tmp_path / "in", 1), tmp_path / "out"
    out.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", out], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        code, _, complained = batch(capfd, folder, "--out", out, "--ray")
    finally:
        subprocess.run(["umount", "-l", out], check=True)
    told = [line for line in complained.splitlines() if line.startswith("histalk:")]
    assert code == 2 and "make room" in told[-1] and "Traceback" not in complained


def test_a_missing_cluster_is_named_in_the_error(tmp_path, capfd):
    code, _, complained = batch(capfd, clips(tmp_path / "in", 1), "--out", tmp_path / "out", "--ray", "127.0.0.1:1")
    assert code == 2 and "127.0.0.1:1" in complained
