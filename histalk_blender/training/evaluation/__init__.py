"""Figures of a checkpoint on held-out speech."""
