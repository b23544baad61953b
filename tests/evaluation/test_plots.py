"""Pictures: what is on them, and the same bytes twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from genfoundry.evaluation import plots


def test_grid_places_images(tmp_path: Path) -> None:
    images = np.zeros((3, 1, 4, 4), np.uint8)
    images[1] = 1
    plots.write_grid(tmp_path / "g.png", images, 2, columns=2, gap=1)
    sheet = np.asarray(Image.open(tmp_path / "g.png"))
    scale = 14
    assert sheet.shape == (11 * scale, 11 * scale, 3)
    assert (sheet[scale : 5 * scale, scale : 5 * scale] == 0).all()
    assert (sheet[scale : 5 * scale, 6 * scale : 10 * scale] == 255).all()


def test_grid_of_colours_and_of_floats(tmp_path: Path) -> None:
    colour = np.zeros((1, 3, 8, 8))
    colour[:, 0] = 300.0
    plots.write_grid(tmp_path / "c.png", colour, None)
    assert tuple(np.asarray(Image.open(tmp_path / "c.png"))[20, 20]) == (255, 0, 0)
    plots.write_grid(tmp_path / "two.png", colour[:, :2], 256)


def test_same_bytes_twice(tmp_path: Path) -> None:
    walk = np.random.default_rng(0).normal(size=(4, 30)).cumsum(1)
    bands = np.stack([walk[:, 20:] - 1, walk[:, 20:], walk[:, 20:] + 1], 1)
    for folder in ("a", "b"):
        plots.plot_forecasts(
            tmp_path / folder / "f.png", walk[:, :20], walk[:, 20:], bands, (0.05, 0.5, 0.95), ["spots"] * len(walk)
        )
        curves = {"loss": (np.arange(30), walk[0]), "gap": (np.arange(30), np.full(30, np.nan))}
        plots.plot_lines(tmp_path / folder / "l.png", curves, y="nats", title="training")
        plots.write_grid(tmp_path / folder / "g.png", np.arange(64).reshape(1, 1, 8, 8), 64)
    for name in ("f.png", "l.png", "g.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert Image.open(tmp_path / "a" / name).width > 50


def test_lines_take_a_logarithmic_axis(tmp_path: Path) -> None:
    plots.plot_lines(tmp_path / "l.png", {"x": ([1, 2], [0.1, 10.0])}, log=True)
    assert (tmp_path / "l.png").exists()


def test_texts(tmp_path: Path) -> None:
    plots.write_texts(tmp_path / "t.txt", ["To be", "or nöt"])
    assert (tmp_path / "t.txt").read_text(encoding="utf-8").splitlines()[::2] == ["To be", "or nöt"]
