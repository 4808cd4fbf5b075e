"""Starts for an acoustic extractor that need no labels, only sound."""
