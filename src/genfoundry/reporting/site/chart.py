"""Line charts as inline SVG: a few points, two axes, no library; the colours are the page's."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT = 340, 170
LINE = 12  # between two labels
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 26
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in the picture's units, and what it says."""

    at: float
    says: str


@dataclass(frozen=True)
class Chart:
    """A chart's geometry; the template draws it. `line` and `dashed` are SVG points, `dots` (x, y, what it says).

    `labels` are (x, y, anchor, text).
    """

    title: str
    says: str
    line: str
    dots: Sequence[tuple[float, float, str]]
    dashed: str
    labels: Sequence[tuple[float, float, str, str]]
    xs: Sequence[Tick]
    ys: Sequence[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def chart(
    title: str,
    line: Points,
    *,
    x: str = "step",
    dots: Sequence[tuple[float, float, str]] = (),
    level: float | None = None,
    whole: bool = False,
    named: bool = False,
) -> Chart | None:
    """A line with dots and a dashed level; None where no point is finite. `whole`: x counts, so it starts at its first.

    `named`: what a dot says stands beside it.

    A value that is not finite is left out.
    """
    line = [(a, b) for a, b in line if math.isfinite(b)]
    dots = [d for d in dots if math.isfinite(d[1])]
    across = [a for a, _ in line] + [d[0] for d in dots]
    up = [b for _, b in line] + [d[1] for d in dots] + ([level] if level is not None else [])
    if not across:
        return None
    xs, ys = ticks(min(across) if whole else 0.0, max(across), whole), ticks(min(up), max(up))
    low, high = min(xs[0], min(across)), max(xs[-1], max(across))
    bottom, top = min(ys[0], min(up)), max(ys[-1], max(up))

    def right(v: float) -> float:
        return round(LEFT + (v - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT), 1)

    def down(v: float) -> float:
        return round(HEIGHT - BOTTOM - (v - bottom) / ((top - bottom) or 1) * (HEIGHT - TOP - BOTTOM), 1)

    ends = f"from {up[0]:.4g} to {up[len(line) - 1]:.4g} " if line else ""
    return Chart(
        title,
        f"{title}: {ends}over {x} {across[0]:g} to {max(across):g}",
        " ".join(f"{right(a)},{down(b)}" for a, b in line),
        (points := [(right(a), down(b), says) for a, b, says in dots]),
        f"{right(low)},{down(level)} {right(high)},{down(level)}" if level is not None else "",
        labels(points) if named else [],
        [Tick(right(v), f"{v:,g}") for v in xs if low <= v <= high],
        [Tick(down(v), f"{v:g}") for v in ys if bottom <= v <= top],
    )


def labels(dots: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str, str]]:
    """What dots say, on the side that has room, each at least a line below the one above it."""
    found: list[tuple[float, float, str, str]] = []
    for x, y, says in sorted(dots, key=lambda dot: dot[1]):
        lowest = found[-1][1] + LINE if found else 0.0
        left = x > (WIDTH + LEFT) / 2
        found.append((x - 7 if left else x + 7, max(y + 3.5, lowest), "end" if left else "start", says))
    return found


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Three to six round numbers that cover low..high."""
    if high <= low:
        high, low = low + (abs(low) or 1) / 2, low - (abs(low) or 1) / 2
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= max(m for m in (1, 2, 5, 10) if m == 1 or (high - low) / (m * step) >= 2)
    step = max(1, round(step)) if whole else step
    first = math.floor(low / step + 1e-9)
    return [round(k * step, 12) for k in range(first, math.ceil(high / step - 1e-9) + 1)]


def curves(path: Path) -> list[Chart]:
    """A chart a loss and a learning rate of a training's CSV, phase by phase; [] where nothing was trained by steps."""
    return [made for title, points in _columns(path) if len(points) > 1 and (made := chart(title, points))]


def _columns(path: Path) -> Iterator[tuple[str, Points]]:
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    for phase in phases:
        mine = [row for row in rows if row["phase"] == phase]
        for name in (k for k in mine[0] if k.startswith(("loss.", "lr."))):
            kind, _, player = name.partition(".")
            said = f"{'loss' if kind == 'loss' else 'learning rate'} of the {player}"
            points = [(float(row["step"]), float(row[name])) for row in mine if row[name]]
            yield said + (f", phase {phase}" if len(phases) > 1 else ""), points
