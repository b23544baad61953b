"""Image sheets, plots and sample texts as files: the same bytes for the same values (no time, no software version)."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genfoundry.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3  # windows side by side
INK, SHADE, TRUTH = "#1f4e79", "#9dbbd9", "#222222"
Floats = NDArray[np.floating[Any]]


def write_grid(
    path: Path, images: NDArray[Any], levels: int | None, columns: int = 8, gap: int = 2, least: int = 56
) -> None:
    """Write a PNG file of images in rows.

    Args:
        path: the file.
        images: (n, C, H, W); of one or three channels, of other numbers the first is shown.
        levels: values are 0..levels-1; None: grey values 0..255.
        columns: images in a row.
        gap: white pixels between images.
        least: images are enlarged to at least so many pixels a side.
    """
    top = 255 if levels is None else levels - 1
    pixels = np.rint(images.astype(np.float64).clip(0, top) * (255 / top)).astype(np.uint8)
    pixels = pixels if pixels.shape[1] == 3 else pixels[:, :1].repeat(3, 1)  # grey to RGB
    n, _, height, width = pixels.shape
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)  # white
    for i, image in enumerate(pixels):
        y, x = (i // columns) * (height + gap) + gap, (i % columns) * (width + gap) + gap
        sheet[y : y + height, x : x + width] = image.transpose(1, 2, 0)  # (H, W, C)
    scale = max(math.ceil(least / height), 1)
    file = io.BytesIO()
    Image.fromarray(sheet.repeat(scale, 0).repeat(scale, 1)).save(file, "png", optimize=True)
    write_bytes(path, file.getvalue())


def write_strips(path: Path, videos: Sequence[NDArray[Any]], levels: int | None) -> None:
    """Write a PNG file with a row an item: its frames in each of `videos`, (n, T, C, H, W) all, with a gap between."""
    white = np.full_like(videos[0][:, :1], 255 if levels is None else levels - 1)  # a frame of white
    row = [part for video in videos if video.shape[1] for part in (video, white)][:-1]
    frames = np.concatenate(row, 1)
    write_grid(path, frames.reshape(-1, *frames.shape[2:]), levels, columns=frames.shape[1])


def write_texts(path: Path, samples: Sequence[str]) -> None:
    """Write texts to one file, with a ruled line between them."""
    rule = "\n" + "-" * 72 + "\n"
    write_bytes(path, (rule.join(samples) + "\n").encode())


def plot_forecasts(
    path: Path, past: Floats, truth: Floats, bands: Floats, quantiles: Sequence[float], names: Sequence[str]
) -> None:
    """Plot forecasts, a panel for each of N windows. Lines have gaps where values are missing.

    Args:
        path: the file.
        past: (N, P).
        truth: (N, T).
        bands: (N, Q, T) quantiles of the forecast; the middle one is the line, the outermost bound the shaded interval.
        quantiles: their Q levels.
        names: (N,) those of the values.
    """
    n = len(past)
    columns = min(n, ACROSS)
    figure = _figure(4 * columns, 2.6 * math.ceil(n / columns))
    for i in range(n):
        axes = figure.add_subplot(math.ceil(n / columns), columns, i + 1)
        ahead = np.arange(1, truth.shape[1] + 1)
        axes.plot(np.arange(1 - past.shape[1], 1), past[i], color=TRUTH, linewidth=1)
        after = np.concatenate([past[i][-1:], truth[i]])  # the line begins at the last value of the past
        axes.plot(np.arange(len(after)), after, color=TRUTH, linewidth=1, linestyle="--", label="what came")
        axes.axvline(0, color=TRUTH, linewidth=0.5, alpha=0.4)
        axes.plot(ahead, bands[i, len(quantiles) // 2], color=INK, linewidth=1.5, label="forecast")
        if len(quantiles) > 1:
            share = f"{quantiles[-1] - quantiles[0]:.0%} interval"
            axes.fill_between(ahead, bands[i, 0], bands[i, -1], color=SHADE, alpha=0.6, linewidth=0, label=share)
        _label(axes, "steps ahead" if i >= n - columns else "", names[i] if i % columns == 0 else "", "")
    figure.axes[0].legend(fontsize=7, frameon=False)
    _save(figure, path)


def plot_lines(
    path: Path,
    curves: Mapping[str, tuple[Sequence[float] | Floats, Sequence[float] | Floats]],
    *,
    x: str = "step",
    y: str = "",
    title: str = "",
    log: bool = False,
) -> None:
    """Plot name -> (xs, ys) as lines on one pair of axes, in the mapping's order; non-finite values leave gaps."""
    figure = _figure(6, 3.6)
    axes = figure.add_subplot(1, 1, 1)
    for name, (xs, ys) in curves.items():
        values = np.asarray(ys, np.float64)
        axes.plot(xs, np.where(np.isfinite(values), values, np.nan), linewidth=1.2, label=name)
    if log:
        axes.set_yscale("log")
    _label(axes, x, y, title)
    if len(curves) > 1:
        axes.legend(fontsize=8, frameon=False)
    _save(figure, path)


def plot_scatter(path: Path, points: Floats, label: NDArray[Any] | None, names: Sequence[str]) -> None:
    """Plot points (N, 2), coloured by label (N,) where there is one; `names` are those of the axes."""
    figure = _figure(5, 4.2)
    axes = figure.add_subplot(1, 1, 1)
    if label is None:
        axes.scatter(points[:, 0], points[:, 1], s=5, color=INK, linewidths=0)
    else:
        for k in np.unique(label):
            x, y = points[label == k].T
            axes.scatter(x, y, s=5, color=f"C{k % 10}", linewidths=0, label=str(k), alpha=0.7)
        axes.legend(fontsize=7, frameon=False, markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5))
    _label(axes, names[0], names[1], "")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: no state shared with the caller, no display
    return figure


def _label(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})  # no version
    write_bytes(path, file.getvalue())
