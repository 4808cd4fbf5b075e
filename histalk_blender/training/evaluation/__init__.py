"""Scores of a checkpoint on held-out speech, beside baselines."""
