"""Hierarchical extractor after SpeechFormer++: frame -> phoneme -> word -> utterance (method.md section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import HiSTalkConfig
from .masks import at_times, sinusoids, valid_mask

LEVELS = ("frame", "phoneme", "word", "utterance")


def stage_mask(tokens: int, words: int, valid: Tensor, segment: float, window: int) -> Tensor:
    """Who attends to whom in one stage.

    A word token sees itself and its own segment; a token sees its segment's word token and its local window;
    a window of 0 opens everything that is valid. Padding is seen by nobody (the published code leaves it open).

    Args:
        tokens, words: how many of each.
        valid: [B] valid tokens.
        segment: tokens a word token's segment spans.
        window: tokens in the local window, odd; 0 = global.

    Returns:
        [B, 1, words + tokens, words + tokens] booleans, true = may attend.
    """
    device = valid.device
    index = torch.arange(tokens, device=device)
    owner = (index / segment).floor().long().clamp(max=words - 1)
    word_index = torch.arange(words, device=device)
    if window:
        near = (index[:, None] - index[None]).abs() <= window // 2
        own = owner[None] == word_index[:, None]
        words_see_words = torch.eye(words, dtype=torch.bool, device=device)
    else:
        near = torch.ones(tokens, tokens, dtype=torch.bool, device=device)
        own = torch.ones(words, tokens, dtype=torch.bool, device=device)
        words_see_words = torch.ones(words, words, dtype=torch.bool, device=device)
    pattern = torch.cat([torch.cat([words_see_words, own], 1), torch.cat([own.T, near], 1)], 0)
    words_valid = (valid[:, None] > word_index[None] * segment).bool()
    keys = torch.cat([words_valid, valid_mask(valid, tokens)], 1)
    # Each token may see itself, or a padded row would have nothing to attend to and turn into NaN.
    itself = torch.eye(words + tokens, dtype=torch.bool, device=device)
    return ((pattern[None] & keys[:, None]) | itself[None])[:, None]


class WindowedLayer(nn.Module):
    """One post-norm Transformer layer whose attention follows a mask; feed-forward of half the width."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, width // 2), nn.GELU(), nn.Dropout(dropout), nn.Linear(width // 2, width)
        )
        self.norm_out = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, L, d], [B, 1, L, L] -> [B, L, d]."""
        B, L, d = x.shape
        q, k, v = self.qkv(x).view(B, L, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        attended = self.out(attended.transpose(1, 2).reshape(B, L, d))
        x = self.norm_attention(x + self.dropout(attended))
        return self.norm_out(x + self.dropout(self.feed_forward(x)))


class Merge(nn.Module):
    """Average-pool groups of tokens, Linear, LayerNorm; the last group averages what is valid in it."""

    def __init__(self, width: int, group: int):
        super().__init__()
        self.group = group
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """[B, M, d], [B] -> [B, ceil(M / group), d], [B]."""
        B, M, d = x.shape
        mask = valid_mask(valid, M)[..., None].to(x.dtype)
        padding = -M % self.group
        total = F.pad(x * mask, (0, 0, 0, padding)).view(B, -1, self.group, d).sum(2)
        count = F.pad(mask, (0, 0, 0, padding)).view(B, -1, self.group, 1).sum(2)
        pooled = total / count.clamp(min=1)
        return self.norm(self.linear(pooled)), (valid + self.group - 1) // self.group


class HierarchicalExtractor(nn.Module):
    """Three chained extractors above the frame level; learnable word tokens run through all stages."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.config = config
        width, dropout = config.hierarchy_width, config.hierarchy_dropout
        self.enter = nn.Linear(config.acoustic_width, width)
        self.word_token = nn.Parameter(torch.randn(width) * 0.02)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in LEVELS)
        self.stages = nn.ModuleList(
            nn.ModuleList(WindowedLayer(width, config.hierarchy_heads, dropout) for _ in range(layers))
            for layers in config.hierarchy_layers
        )
        self.merges = nn.ModuleList(Merge(width, group) for group in config.hierarchy_merges)

    def forward(self, acoustic: Tensor, valid: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Frame-level features to four levels.

        Args:
            acoustic: [B, M, acoustic width].
            valid: [B] valid tokens.

        Returns:
            The levels' features [B, M_x, d] at their own token periods (20, 40, 240, 960 ms), and their valid
            tokens [B] each.
        """
        x = self.enter(acoustic)
        segment = self.config.word_token_tokens
        # Positions count within a segment, so that no clip is too long and a window hears what the whole clip hears.
        place = torch.arange(x.shape[1], device=x.device) % segment
        x = x + sinusoids(segment, x.shape[2], x.device).to(x.dtype)[place]
        count = max(1, -(-x.shape[1] // self.config.word_token_tokens))
        words = self.word_token.expand(x.shape[0], count, -1)
        levels, valids = [], []
        for level, stage in enumerate(self.stages):
            x = self.norms[level](x)
            mask = stage_mask(x.shape[1], count, valid, segment, self.config.hierarchy_windows[level])
            joint = torch.cat([words.to(x.dtype), x], 1)
            for layer in stage:
                joint = layer(joint, mask)
            words, x = joint[:, :count], joint[:, count:]
            levels.append(x)
            valids.append(valid)
            if level < len(self.merges):
                x, valid = self.merges[level](x, valid)
                segment /= self.config.hierarchy_merges[level]
        return levels, valids

    def at_frame_rate(self, levels: list[Tensor], valids: list[Tensor], frames: int) -> list[Tensor]:
        """Each level read at the animation's frame times: [B, T, d] each."""
        config = self.config
        time = torch.arange(frames, device=levels[0].device, dtype=torch.float32) / config.fps
        token = time * config.sample_rate / config.hop
        group, out = 1, []
        for level, (features, valid) in enumerate(zip(levels, valids)):
            out.append(at_times(features, valid, (token - (group - 1) / 2) / group))
            if level < len(config.hierarchy_merges):
                group *= config.hierarchy_merges[level]
        return out
