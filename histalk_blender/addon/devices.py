"""The GPU's name for the panel, without loading torch for it."""

from __future__ import annotations

import subprocess
import threading

from ..runtime import processes

_names: list[str] | None = None


def gpu_names() -> list[str] | None:
    """CUDA GPUs as their driver names them; None until it has answered. Asks once, in the background."""
    global _names
    if _names is None and not any(thread.name == "HiSTalk GPU" for thread in threading.enumerate()):
        threading.Thread(target=_ask, name="HiSTalk GPU", daemon=True).start()
    return _names


def _ask() -> None:
    global _names
    try:
        query = "--query-gpu=name", "--format=csv,noheader"
        found = processes.run_tool("nvidia-smi", *query, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        found = ""
    _names = [line.strip() for line in found.splitlines() if line.strip()]
