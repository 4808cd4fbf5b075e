"""A worker that `crew` started in a Python of its own."""

from ..runtime.endings import command_process
from .worker_pool import serve

command_process(serve)
