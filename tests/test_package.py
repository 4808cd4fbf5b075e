"""The package's own facts."""

from histalk_blender.head.arkit import ARKIT_UNITS


def test_there_are_52_distinct_units_in_alphabetical_order():
    assert len(ARKIT_UNITS) == len(set(ARKIT_UNITS)) == 52
    assert list(ARKIT_UNITS) == sorted(ARKIT_UNITS)
