"""Comparisons of designs."""
