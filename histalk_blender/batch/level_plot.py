"""A small plot of a clip: what each level of the hierarchy contributed over time, and how far the lips opened."""

from __future__ import annotations

import numpy as np

from ..head.head import lip_opening
from ..synthesis import Performance

LEGEND = (("frame", 86), ("phoneme", 142), ("word", 211), ("utterance", 263))  # pixels
POINTS = 240  # of a curve, at most
UNITS = 4  # of path coordinates, a pixel
WIDTH, HEIGHT, LEFT, RIGHT = 480, 140, 86, 472  # pixels
GATES_Y, SHARES_Y, LIPS_Y = (18, 54), (61, 95), (102, 124)  # pixels, top and bottom of each panel
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 3600)  # seconds apart
# Okabe and Ito's colours, which colour-blind people can tell apart, and lighter ones for a dark page.
STYLE = """text{font:9px sans-serif;fill:#555}.k{fill:none;stroke:#8886}
.l{fill:none;stroke-width:6;stroke-linejoin:round}
.c0{--c:#0072b2}.c1{--c:#e69f00}.c2{--c:#009e73}.c3{--c:#cc79a7}.l{stroke:var(--c)}.a{fill:var(--c)}.o{fill:#777}
@media(prefers-color-scheme:dark){text{fill:#bbb}.o{fill:#aaa}
.c0{--c:#56b4e9}.c1{--c:#f0b63c}.c2{--c:#1cc796}.c3{--c:#e39ac4}}"""


def level_plot(performance: Performance) -> str:
    """A standalone SVG of at most 15 KB, whatever the clip's length; the same text every time.

    From the top: each level's gate, averaged over the landmarks; each level's share of the motion, by the mean length
    of its displacements; the lips' opening, the largest of the frames that a point stands for.
    """
    assert performance.gates is not None and performance.level_displacements is not None
    gates = performance.gates.mean(2)
    lengths = np.stack([np.linalg.norm(level, axis=2).mean(1) for level in performance.level_displacements])
    opening = 1000 * lip_opening(performance.landmark_positions)
    T = len(opening)
    first = np.unique(np.linspace(0, T, min(T, POINTS) + 1).astype(int))[:-1]
    frames = np.diff(np.append(first, T))
    gates, lengths = np.add.reduceat(gates, first, 1) / frames, np.add.reduceat(lengths, first, 1) / frames
    opening = np.maximum.reduceat(opening, first)
    shares = np.cumsum(lengths, 0) / np.maximum(lengths.sum(0), 1e-9)
    x = np.concatenate([[0], (first + frames / 2) / T, [1]])
    top, widest = (0.5 if gates.max() <= 0.5 else 1.0), max(5, 5 * int(np.ceil(opening.max() / 5)))
    parts = [_ticks(T / performance.fps)]
    names = f"weight 0–{top:g}", "share of motion", f"lips 0–{widest} mm"
    for y, name in zip((GATES_Y, SHARES_Y, LIPS_Y), names):
        parts.append(f'<text x="0" y="{sum(y) / 2 + 3:g}">{name}</text>')
    parts.append(f'<g transform="scale({1 / UNITS:g})">')
    parts += [f'<path class="a c{i}" d="{_curve(x, shares[i], SHARES_Y, True)}"/>' for i in (3, 2, 1, 0)]
    parts += [f'<path class="l c{i}" d="{_curve(x, gates[i] / top, GATES_Y)}"/>' for i in range(4)]
    parts.append(f'<path class="o" d="{_curve(x, opening / widest, LIPS_Y, True)}"/></g>')
    for i, (name, at) in enumerate(LEGEND):
        parts.append(f'<rect class="a c{i}" x="{at}" y="3" width="9" height="7"/>')
        parts.append(f'<text x="{at + 13}" y="10">{name}</text>')
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
    return f"{start}<style>{STYLE}</style>" + "".join(parts) + "</svg>\n"


def _curve(x: np.ndarray, y: np.ndarray, between: tuple[int, int], filled: bool = False) -> str:
    """A path through x [N + 2] and y [N], both from 0 to 1, y held at both ends, in whole `UNITS`."""
    top, bottom = between
    across = np.round(UNITS * (LEFT + (RIGHT - LEFT) * x)).astype(int)
    down = np.round(UNITS * (bottom - (bottom - top) * np.clip(y, 0, 1))).astype(int)
    down = np.concatenate([down[:1], down, down[-1:]])
    steps = "".join(f" {dx}{dy}" if dy < 0 else f" {dx} {dy}" for dx, dy in zip(np.diff(across), np.diff(down)))
    closed = f"V{UNITS * bottom}H{UNITS * LEFT}z" if filled else ""
    return f"M{across[0]} {down[0]}l{steps[1:]}{closed}"


def _ticks(seconds: float) -> str:
    """The time axis: at most nine lines through all panels, and the seconds under them."""
    apart = next((step for step in TICKS if seconds / step <= 8), TICKS[-1])
    parts = []
    for i in range(int(seconds / apart + 1e-6) + 1):
        x = LEFT + (RIGHT - LEFT) * i * apart / seconds
        parts.append(f'<path class="k" d="M{x:.1f} {GATES_Y[0]}V{LIPS_Y[1]}"/>')
        parts.append(f'<text x="{x:.1f}" y="136" text-anchor="middle">{i * apart:g}{"" if i else " s"}</text>')
    return "".join(parts)
