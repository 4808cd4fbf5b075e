"""`python -m histalk_blender.batch.child`: a worker that `crew` started."""

import os

from .crew import serve

serve()
os._exit(0)  # Blender's module may wait forever at a normal end
