"""A worker that `crew` started in a Python of its own."""

from ..endings import command_process
from .crew import serve

command_process(serve)
