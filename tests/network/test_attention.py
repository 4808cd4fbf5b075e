"""Attention in blocks gives what attention over everything gives where all but the near is hidden."""

import pytest
import torch

from histalk_blender.network.attention import local_attention
from histalk_blender.network.hierarchy import Segments


def rows(B, L, heads=2, d=8):
    random = torch.Generator().manual_seed(L)
    return [torch.randn(B, L, heads, d, generator=random) for _ in range(3)]


def dense(query, key, value, logits):
    """Softmax over everything, [B, L, heads, d]; logits [B, heads, L, L] are added."""
    scores = torch.einsum("bihd,bjhd->bhij", query, key) * query.shape[-1] ** -0.5 + logits
    return torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), value)


@pytest.mark.parametrize("length", [1, 3, 10, 11, 14, 15, 40, 43])
def test_local_attention_is_dense_attention_with_the_far_hidden(length):
    reach, B = 5, 3
    query, key, value = rows(B, length)
    bias = torch.randn(2, 2 * reach + 1, generator=torch.Generator().manual_seed(1)) * 2
    lengths = torch.tensor([length, max(1, length // 2), 1])
    valid = torch.arange(length)[None] < lengths[:, None]
    apart = torch.arange(length)[None] - torch.arange(length)[:, None]
    logits = bias[:, (apart + reach).clamp(0, 2 * reach)].masked_fill(apart.abs() > reach, -torch.inf)
    logits = logits[None].masked_fill(~valid[:, None, None], -torch.inf)
    expected = dense(query, key, value, logits)
    found = local_attention(query, key, value, bias, valid)
    assert found.shape == expected.shape and found.isfinite().all()
    torch.testing.assert_close(found[valid], expected[valid], atol=1e-5, rtol=1e-4)


def test_what_a_distance_says_is_learnt_in_blocks_as_well():
    reach, length = 4, 30
    query, key, value = rows(1, length)
    bias = torch.zeros(2, 2 * reach + 1, requires_grad=True)
    local_attention(query, key, value, bias, torch.ones(1, length, dtype=torch.bool)).square().sum().backward()
    assert (bias.grad.abs() > 1e-6).all()


def may_see(words, tokens, segment, window, valid):
    """[W + M, W + M] who sees whom in one clip, pair by pair as SpeechFormer++ has it."""
    seen = torch.zeros(words + tokens, words + tokens, dtype=torch.bool)
    for i in range(words + tokens):
        for j in range(words + tokens):
            own = [x if x < words else (x - words) // segment for x in (i, j)]
            if i < words or j < words:
                near = own[0] == own[1]
            else:
                near = abs(i - j) <= window // 2
            there = j * segment < valid if j < words else j - words < valid
            seen[i, j] = (near or not window) and there
    return seen


@pytest.mark.parametrize(
    "tokens, segment, window", [(48, 48, 3), (100, 48, 3), (50, 24, 11), (13, 4, 9), (5, 4, 9), (7, 1, 0)]
)
def test_segments_see_their_word_token_and_their_window(tokens, segment, window):
    words = -(-tokens // segment)
    valid = torch.tensor([tokens, max(1, tokens * 2 // 3)])
    query, key, value = rows(2, words + tokens)
    found = Segments(segment, window, words, valid, tokens).attend(query, key, value)
    for clip, count in enumerate(valid.tolist()):
        seen = may_see(words, tokens, segment, window, count)
        logits = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
        expected = dense(query[clip : clip + 1], key[clip : clip + 1], value[clip : clip + 1], logits)[0]
        real = torch.cat([torch.arange(words) * segment < count, torch.arange(tokens) < count])
        torch.testing.assert_close(found[clip][real], expected[real], atol=1e-5, rtol=1e-4)
