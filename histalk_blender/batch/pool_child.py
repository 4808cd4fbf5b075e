"""A worker that `crew` started in a Python of its own."""

from ..runtime.process_exit import run_and_exit
from .worker_pool import serve

run_and_exit(serve)
