"""Two older designs at their published sizes, written anew and with random weights: only their time is compared."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Wav2Vec2Config, Wav2Vec2Model

from histalk_blender.audio import SAMPLE_RATE

FPS = 30
VERTICES = 5023
PERIOD = 30  # frames after which FaceFormer's positions and biases come again


class Wav2Vec2Base(nn.Module):
    """wav2vec2-base, its features at frame rate: FaceFormer's encoder, and a stand-in for VOCA's DeepSpeech."""

    def __init__(self):
        super().__init__()
        self.model = Wav2Vec2Model(Wav2Vec2Config())

    def forward(self, sound: Tensor) -> Tensor:
        """[1, N] -> [1, T, 768]."""
        features = self.model(sound).last_hidden_state.transpose(1, 2)
        return F.interpolate(
            features, round(sound.shape[1] / SAMPLE_RATE * FPS), mode="linear", align_corners=True
        ).transpose(1, 2)


class FaceFormerDecoder(nn.Module):
    """After Fan et al. 2022: one layer of width 64, run anew on all frames so far for each further frame."""

    def __init__(self, width: int = 64, heads: int = 4):
        super().__init__()
        self.width, self.heads = width, heads
        self.speech = nn.Linear(768, width)
        self.style = nn.Linear(8, width, bias=False)
        self.motion = nn.Linear(3 * VERTICES, width)
        layer = nn.TransformerDecoderLayer(width, heads, 2 * width, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, 1)
        self.vertices = nn.Linear(width, 3 * VERTICES)
        place = torch.arange(PERIOD)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
        self.register_buffer("places", torch.stack([place.sin(), place.cos()], 2).flatten(1))

    def forward(self, features: Tensor) -> Tensor:
        """[1, T, 768] -> [1, T, 3 · 5023]; the published masks end at 600 frames, these are as long as the clip."""
        T, device = features.shape[1], features.device
        memory = self.speech(features)
        style = self.style(F.one_hot(torch.zeros(1, dtype=torch.long, device=device), 8).float())[:, None]
        far = (torch.arange(T, device=device)[:, None] - torch.arange(T, device=device)[None]).div(
            PERIOD, rounding_mode="floor"
        )
        slopes = 2.0 ** (-8 / self.heads * torch.arange(1, self.heads + 1, device=device))
        bias = (-far * slopes[:, None, None]).masked_fill(
            torch.ones(T, T, dtype=torch.bool, device=device).triu(1), -torch.inf
        )
        others = ~torch.eye(T, dtype=torch.bool, device=device)
        given = style
        for t in range(T):
            x = given + self.places[torch.arange(t + 1, device=device) % PERIOD]
            found = self.vertices(
                self.decoder(x, memory, tgt_mask=bias[:, : t + 1, : t + 1], memory_mask=others[: t + 1])
            )
            if t + 1 < T:
                given = torch.cat([given, self.motion(found[:, -1:]) + style], 1)
        return found


class VocaDecoder(nn.Module):
    """After Cudeiro et al. 2019: each frame from 16 frames of 29 characters around it, and of no other frame."""

    def __init__(self):
        super().__init__()
        self.characters = nn.Linear(768, 29)  # in place of DeepSpeech's output
        sizes = (29 + 8, 32, 32, 64, 64)
        self.windows = nn.ModuleList(nn.Conv1d(a, b, 3, stride=2, padding=1) for a, b in zip(sizes, sizes[1:]))
        self.full = nn.Sequential(nn.Linear(64 + 8, 128), nn.Tanh(), nn.Linear(128, 50), nn.Linear(50, 3 * VERTICES))

    def forward(self, features: Tensor) -> Tensor:
        """[1, T, 768] -> [T, 3 · 5023], all frames as one batch."""
        windows = F.pad(self.characters(features)[0], (0, 0, 8, 7)).unfold(0, 16, 1)  # [T, 29, 16]
        subject = F.one_hot(torch.zeros(len(windows), dtype=torch.long, device=windows.device), 8).float()
        x = torch.cat([windows, subject[..., None].expand(-1, -1, 16)], 1)
        for layer in self.windows:
            x = layer(x).relu()
        return self.full(torch.cat([x[..., 0], subject], 1))
