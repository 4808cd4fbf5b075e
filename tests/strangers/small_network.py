"""A small network for the bundled head."""

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="no torch for this Python here")


from histalk_blender.network import HiSTalk, whisper_tiny


@pytest.fixture(scope="module")
def network():
    """A small network for the bundled head."""
    torch.manual_seed(0)
    config = dataclasses.replace(
        whisper_tiny(5123),
        acoustic_width=64,
        acoustic_layers=1,
        acoustic_heads=2,
        acoustic_feed_forward=64,
        hierarchy_width=64,
        branch_width=32,
        dense_components=4,
    )
    model = HiSTalk(config).eval()
    torch.nn.init.normal_(model.outputs["histalk"].basis, std=1e-4)
    return model
