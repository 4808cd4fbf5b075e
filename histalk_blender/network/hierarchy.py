"""Hierarchical extractor after SpeechFormer++: frame -> phoneme -> word -> utterance (docs/method.md section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import MASKED
from .config import LEVELS, HiSTalkConfig
from .linear import Linear
from .masks import at_times, sinusoids, valid_mask


def segment_mask(segment: int, around: int, words: Tensor, tokens: Tensor) -> Tensor:
    """The attention mask within each segment, for its word token and its own tokens, over these and some around them.

    The word token attends to itself and its own segment; a token attends to its segment's word token and its local
    window. Padding is masked (the published code leaves it open).

    Args:
        segment: tokens of a segment.
        around: tokens that the local window reaches each way.
        words: [B, W] booleans: valid word tokens.
        tokens: [B, W, around + segment + around] booleans: valid tokens of each segment and around it.

    Returns:
        [B, W, 1, 1 + segment, 1 + around + segment + around].
    """
    place = torch.arange(segment, device=words.device)
    spot = torch.arange(-around, segment + around, device=words.device)
    near = (place[:, None] - spot[None]).abs() <= around
    own = ((spot >= 0) & (spot < segment))[None]
    pattern = F.pad(torch.cat([own, near]), (1, 0), value=True)
    seen = torch.cat([words[..., None], tokens], -1)[:, :, None, None]
    return torch.where(pattern & seen, 0.0, MASKED)


class Segments:
    """Attention of one stage: each segment, its word token and the tokens around it are one row of a batch.

    With a window of 0 everything valid is attended to.
    """

    def __init__(self, segment: int, window: int, words: int, valid: Tensor, tokens: int):
        """Args:
        segment: tokens that a word token's segment spans.
        window: tokens in the local window, odd; 0 = global.
        words, tokens: W and M, the numbers of word tokens and of other tokens.
        valid: [B] valid tokens.
        """
        self.segment, self.around, self.words, self.tokens = segment, window // 2, words, tokens
        word_index = torch.arange(words, device=valid.device)
        words_valid = valid[:, None] > word_index[None] * segment
        if not window:
            keys = torch.cat([words_valid, valid_mask(valid, tokens)], 1)
            self.mask = torch.where(keys, 0.0, MASKED)[:, None, None]
        else:
            self.mask = segment_mask(
                segment, self.around, words_valid, self._spread(valid_mask(valid, tokens))
            ).flatten(0, 1)
        self.window = window

    def _spread(self, x: Tensor) -> Tensor:
        """[B, M, ...] -> [B, W, ..., around + segment + around]."""
        x = x.movedim(1, -1)
        x = F.pad(x, (self.around, self.words * self.segment - self.tokens + self.around))
        return x.unfold(-1, self.segment + 2 * self.around, self.segment).movedim(-2, 1)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[B, W + M, heads, d] each -> the same."""
        mask = self.mask.to(query.dtype)
        if not self.window:
            rows = (x.transpose(1, 2) for x in (query, key, value))
            return F.scaled_dot_product_attention(*rows, attn_mask=mask).transpose(1, 2)
        W, S, M = self.words, self.segment, self.tokens
        own = F.pad(query[:, W:], (0, 0, 0, 0, 0, W * S - M)).unflatten(1, (W, S))
        query = torch.cat([query[:, :W, None], own], 2).flatten(0, 1)  # [B · W, 1 + S, heads, d]
        key, value = (
            torch.cat([x[:, :W, None], self._spread(x[:, W:]).movedim(-1, 2)], 2).flatten(0, 1) for x in (key, value)
        )
        rows = (x.transpose(1, 2) for x in (query, key, value))
        found = F.scaled_dot_product_attention(*rows, attn_mask=mask).transpose(1, 2).unflatten(0, (-1, W))
        return torch.cat([found[:, :, 0], found[:, :, 1:].flatten(1, 2)[:, :M]], 1)


class WindowedLayer(nn.Module):
    """One post-norm Transformer layer whose attention follows windows; feed-forward of half the width."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.norm_attention = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            Linear(width, width // 2), nn.GELU(), nn.Dropout(dropout), Linear(width // 2, width)
        )
        self.norm_out = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, joint: Tensor, segments: Segments) -> Tensor:
        """[B, W + M, d] word tokens before the others, -> the same."""
        q, k, v = self.qkv(joint).unflatten(-1, (3, self.heads, -1)).unbind(2)
        joint = self.norm_attention(joint + self.dropout(self.out(segments.attend(q, k, v).flatten(2))))
        return self.norm_out(joint + self.dropout(self.feed_forward(joint)))


class Merge(nn.Module):
    """Average-pool groups of tokens, Linear, LayerNorm; the last group averages its valid tokens."""

    def __init__(self, width: int, group: int):
        super().__init__()
        self.group = group
        self.linear = Linear(width, width)
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
    """Three chained extractors above the frame level; learnable word tokens pass through all stages."""

    def __init__(self, config: HiSTalkConfig):
        super().__init__()
        self.config = config
        width, dropout = config.hierarchy_width, config.hierarchy_dropout
        self.enter = Linear(config.acoustic_width, width)
        self.word_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
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
        # Positions count within a segment: clips may be of any length, and a window gives what the whole clip gives.
        place = torch.arange(x.shape[1], device=x.device) % segment
        x = x + sinusoids(segment, x.shape[2], x.device).to(x.dtype)[place]
        count = max(1, -(-x.shape[1] // self.config.word_token_tokens))
        words = self.word_token.expand(x.shape[0], count, -1)
        levels, valids = [], []
        for level, stage in enumerate(self.stages):
            x = self.norms[level](x)
            segments = Segments(segment, self.config.hierarchy_windows[level], count, valid, x.shape[1])
            joint = torch.cat([words.to(x.dtype), x], 1)
            for layer in stage:
                joint = layer(joint, segments)
            words, x = joint[:, :count], joint[:, count:]
            levels.append(x)
            valids.append(valid)
            if level < len(self.merges):
                x, valid = self.merges[level](x, valid)
                segment //= self.config.hierarchy_merges[level]
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
