"""The GPU's name for the panel, without loading torch for it."""

from __future__ import annotations

import subprocess
import threading

from ..runtime import processes

TIMEOUT = 20  # seconds that the driver has to answer


class GpuQuery:
    """Asks the NVIDIA driver once, in the background.

    names: CUDA GPUs; None until the driver has answered.
    """

    def __init__(self) -> None:
        self.names: list[str] | None = None
        self._announced = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ask, where that has not been done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask, name="HiSTalk GPU", daemon=True)
            self._thread.start()

    def just_answered(self) -> bool:
        """True once, after the answer came."""
        if self._announced or self.names is None:
            return False
        self._announced = True
        return True

    def close(self) -> None:
        """Wait a little for the thread."""
        if self._thread is not None:
            self._thread.join(2.0)

    def _ask(self) -> None:
        try:
            query = "--query-gpu=name", "--format=csv,noheader"
            found = processes.run_tool("nvidia-smi", *query, text=True, timeout=TIMEOUT).stdout
        except (OSError, subprocess.TimeoutExpired):
            found = ""
        self.names = [line.strip() for line in found.splitlines() if line.strip()]
