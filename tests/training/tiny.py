"""Runs that take a moment: the bundled preset with narrow layers, on rows of a second."""

from histalk_blender.training.options import TrainOptions

TINY = (
    ("acoustic_width", 64),
    ("acoustic_layers", 1),
    ("acoustic_heads", 4),
    ("acoustic_feed_forward", 64),
    ("hierarchy_width", 64),
    ("hierarchy_layers", (1, 1, 1, 1)),
    ("branch_width", 32),
)


def tiny_options(corpus, out, steps, **changes):
    """Options of a run of so many steps, with some of them changed."""
    usual = {
        "changes": TINY,
        "pretrain_minutes": 0,
        "row_seconds": (1.0,),
        "batch_seconds": 2.0,
        "workers": 0,
        "device": "cpu",
    }
    return TrainOptions(corpus, out, steps=steps, **(usual | changes))
