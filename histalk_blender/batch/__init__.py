"""Many clips at once, without a window: a manifest in, motion files and a report out, a ledger in between."""
