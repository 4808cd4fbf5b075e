"""Acoustic encoders that start from others."""
