"""`histalk` in processes of its own that start at once: forked from a server that has imported PyTorch already."""

import multiprocessing
import os
import sys
import time
from pathlib import Path

RUN = "from histalk_blender.cli.main import main; main()"
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["histalk_blender.cli.main", "histalk_blender.batch.run", "torch"])


class Forked:
    """A running command."""

    def __init__(self, scratch: Path, *arguments: object, code: str = RUN):
        """Start `python -c code arguments`; what it prints is kept in files below `scratch`."""
        self.printed = [scratch / f"{time.monotonic_ns()}.{name}" for name in ("out", "err")]
        given = code, ["-c", *map(str, arguments)], self.printed
        self.process = SERVER.Process(target=_run, args=given)
        self.process.start()
        self.pid = self.process.pid

    def wait(self, timeout: float = 200) -> tuple[int, str, str]:
        """Its exit code, or minus the signal that killed it; stdout; stderr."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"it still runs after {timeout} s"
        return self.process.exitcode, *(path.read_text() for path in self.printed)

    def kill(self) -> None:
        """By SIGKILL."""
        self.process.kill()
        self.process.join()

    @property
    def is_running(self) -> bool:
        return self.process.exitcode is None


def _run(code: str, arguments: list[str], printed: list[Path]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # or matrix products would be cut otherwise on another machine
    for descriptor, path in enumerate(printed, 1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv = arguments
    exec(code, {"__name__": "__main__"})
