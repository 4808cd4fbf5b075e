"""The process we run in: PyTorch, child processes, signals, output."""
