"""Data of the kinds that users have: photographs of any size, a MedMNIST file, a series with gaps, and others."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

Array = np.ndarray


def shape(rng: np.random.Generator, height: int, width: int, kind: int) -> Array:
    """A disc (1) or a diamond (0) on plain ground, (H, W, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    (cy, cx), r = rng.uniform(0.3, 0.7, 2), rng.uniform(0.1, 0.3)
    inside = (y - cy) ** 2 + (x - cx) ** 2 < r * r if kind else abs(y - cy) + abs(x - cx) < r
    ground, own = rng.integers(0, 256, (2, 3))
    return np.clip(np.where(inside[..., None], own, ground) + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(
        np.uint8
    )


def photographs(folder: Path, n: int = 200, *, classes: bool = True, low: int = 64, high: int = 180) -> Path:
    """n colour JPEGs of mixed sizes, in two classes' folders or in none."""
    rng = np.random.default_rng(0)
    for i in range(n):
        height, width = (int(side) for side in rng.integers(low, high, 2))
        home = folder / ("diamond", "disc")[i % 2] if classes else folder
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shape(rng, height, width, i % 2)).save(home / f"{i}.jpg")
    return folder


def medmnist(path: Path, size: int = 28, counts: tuple[int, int, int] = (160, 30, 40)) -> Path:
    """A file of MedMNIST's layout: grey images of three classes."""
    rng, arrays = np.random.default_rng(1), {}
    for split, n in zip(("train", "val", "test"), counts, strict=True):
        label = rng.integers(0, 3, (n, 1))
        bars = (np.arange(size) // 4 % (2 + label) == 0)[:, None, :] * rng.integers(90, 200, (n, 1, 1))
        arrays[f"{split}_images"] = (bars + rng.integers(0, 50, (n, size, size))).astype(np.uint8)
        arrays[f"{split}_labels"] = label.astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def weather(path: Path, rows: int = 300, *, lost: int = 37, empty: int = 29) -> Path:
    """A day a row, two columns; every `lost`th day is not there, every `empty`th has an empty cell (0: none)."""
    rng, lines = np.random.default_rng(2), ["date,temperature,wind"]
    for t in range(rows):
        values = [f"{10 + 5 * np.sin(t / 9) + rng.normal():.2f}", f"{3 + rng.normal():.2f}"]
        if empty and t % empty == 3:
            values[t % 2] = ""
        if not lost or t % lost != 5:
            lines.append(",".join([str(date(2020, 1, 1) + timedelta(t)), *values]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def tale(path: Path, paragraphs: int = 100) -> Path:
    """One text of many paragraphs."""
    rng, words = np.random.default_rng(3), ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "rats"]
    path.write_text("\n\n".join(" ".join(rng.choice(words, 20)) + "." for _ in range(paragraphs)) + "\n")
    return path


def translations(path: Path, n: int = 80) -> Path:
    """Pairs, a line each."""
    path.write_text("".join(f"olde {i} texte\told {i} text\n" for i in range(n)))
    return path
