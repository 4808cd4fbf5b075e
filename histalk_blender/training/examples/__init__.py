"""Training examples: corpora as batches of sound and motion."""
