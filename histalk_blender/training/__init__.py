"""Corpora, teacher, losses, metrics and the training loop: development only, not part of the extension."""
