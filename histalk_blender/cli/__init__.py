"""The histalk command."""
