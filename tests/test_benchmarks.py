"""The benchmarks compare what they say they compare; how long anything takes is theirs alone to measure."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import ceilings
import compare
import peer_networks
import table


@pytest.mark.parametrize("bar, met", [("<= 1", False), (">= 1", True), ("", None)])
def test_a_missed_bar_is_marked(bar, met):
    row = table.Row("something", 1.5, "x", bar, "3 s")
    assert row.met is met
    assert ("missed" in table.markdown("Title", [row])) is (met is False)


def test_what_could_not_be_measured_has_no_ratio():
    assert "| something |  |  | no GPU |" in table.markdown("Title", [table.Row("something", None, "x", "", "no GPU")])


@torch.no_grad()
def test_the_autoregressive_peer_makes_each_frame_from_those_before_it():
    torch.manual_seed(0)
    peer = peer_networks.FaceFormerDecoder().eval()
    speech = torch.randn(1, 40, 768)
    other = speech.clone()
    other[:, 25:] = 0
    first, second = peer(speech), peer(other)
    assert first.shape == (1, 40, 3 * 5023)
    torch.testing.assert_close(first[:, :25], second[:, :25])
    assert (first[:, 25:] - second[:, 25:]).abs().max() > 1e-3
    other = speech.clone()
    other[:, 3] = 0
    assert (peer(other)[:, 30] - first[:, 30]).abs().max() > 1e-6, "early speech changes late frames through the motion"


@torch.no_grad()
def test_the_per_frame_peer_knows_half_a_second():
    torch.manual_seed(0)
    peer = peer_networks.VocaDecoder().eval()
    speech = torch.randn(1, 60, 768)
    other = speech.clone()
    other[:, 30] = 0
    changed = (peer(speech) - peer(other)).abs().amax(1).nonzero().flatten()
    assert peer(speech).shape == (60, 3 * 5023)
    assert 23 <= changed.min() and changed.max() <= 38


@torch.no_grad()
def test_operations_are_counted_as_on_paper():
    layer, x = ceilings.Linear(64, 32), torch.randn(2, 50, 64)
    rows = [torch.randn(3, 2, 40, 16) for _ in range(3)]
    with ceilings.Products() as counted:
        layer(x)
        torch.nn.functional.scaled_dot_product_attention(*rows)
        torch.nn.functional.conv1d(torch.randn(1, 8, 30), torch.randn(4, 8, 3))
    assert counted.operations.total() == 2 * 100 * 64 * 32 + 4 * 3 * 2 * 40 * 40 * 16 + 2 * 28 * 4 * 8 * 3
    assert len(counted.calls) == 3 and set(counted.operations) == {torch.float32}


def test_a_floor_is_what_the_slowest_limit_allows():
    limits = ceilings.Ceilings({torch.float32: 1000.0, torch.float16: 4000.0}, copies=1e9, launch=0.001)
    products = ceilings.Products()
    products.operations.update({torch.float32: 500, torch.float16: 2000})
    assert limits.floor(products) == 1.0
    products.launches = 3000
    assert limits.floor(products) == 3.0


def test_rows_are_compared_with_an_older_table():
    old = "# Benchmarks\n\n## A\n\n" + table.markdown("x", [])[6:]
    old += "| one | **2** x | | 10% of it, 200 ms |\n| two | **1** s | | |\n| three | **9** frames a second | | |\n"
    old += "| four | **1** of real time | | 0.02 s |\n"
    new = old.replace("200 ms", "220 ms").replace("**9**", "**8**").replace("two", "second").replace("0.02", "0.022")
    report = compare.compare(old, new)
    assert "1.10  one" in report and "1.00  second" in report and "1.12  three" in report and "1.10  four" in report
    assert "2 rows are more than 5 % slower.\n  A: one, 1.10\n  A: three, 1.12" in report, "four may be rounded"
