"""Training examples: recordings as batches of augmented sound and motion."""
