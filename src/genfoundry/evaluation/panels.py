"""Pictures for people: sample grids, sample text, forecast plots and whatever else a model's `panels` give."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from genfoundry.data.iterate import iter_batches, sample_indices
from genfoundry.evaluation import plots
from genfoundry.evaluation.baselines.base import LENGTH, TEXTS
from genfoundry.evaluation.metric import QUANTILES
from genfoundry.evaluation.translated_items import translated_batch
from genfoundry.models.abilities import Decodes
from genfoundry.models.base import GenerativeModel, Learner
from genfoundry.nn.latent.spherical import slerp
from genfoundry.seeding import derive_seed
from genfoundry.splits import Seasonal

if TYPE_CHECKING:
    from genfoundry.data.splits.pairs import PairSplit
    from genfoundry.splits import Split

GRID = 64  # images in a grid
VIDEOS = 12  # in a sheet of strips
LINES = 16  # of text a panel
WINDOWS = 6  # forecasts in a plot
COLUMNS_OF_SERIES = 4  # in it


def write_predictions(
    folder: Path, predictions: Mapping[str, Tensor], split: Split, meta: Mapping[str, Any], name: str | None = None
) -> None:
    """Write each kind of predictions as a picture or text called `name` (default: samples, forecast, translations).

    `meta` is the content of spec.json: the alphabet of text, the names of a series' columns.
    """
    if "samples" in predictions:
        _write(folder / (name or "samples"), predictions["samples"][:GRID], split, meta)
    if "translated" in predictions:
        table = _format_translations(predictions["translated"], split)
        plots.write_texts(folder / f"{name or 'translations'}.txt", [table])
    if "forecast" in predictions:
        _write_forecast(folder / f"{name or 'forecast'}.png", predictions["forecast"], split, meta)


@torch.inference_mode()
def write_panels(folder: Path, model: Learner, split: Split, meta: Mapping[str, Any], seed: int) -> None:
    """Write the model's panels for a few items of the split; those with an image an item stand below them."""
    if not isinstance(model, GenerativeModel):
        return
    torch.manual_seed(derive_seed(seed, split.name, "panels"))
    shape = split.spec.shape
    if meta["modality"] == "text":
        _write(folder / "samples", _sample_long_text(model), split, meta)
    elif meta["modality"] == "lines":
        batch = split.eval_batch(sample_indices(split, min(LINES, len(split)))).to(model.device)
        for name, panel in sorted(model.panels(batch).items()):
            _write(folder / name, panel, split, meta)
    elif len(shape) == 3:
        batch = split.eval_batch(sample_indices(split, min(GRID // 2, len(split)))).to(model.device)
        if isinstance(model, Decodes):
            _write(folder / "walk", interpolate_prior(model), split, meta)
        for name, panel in sorted(model.panels(batch).items()):
            if panel.ndim == len(shape) + 2:  # (rows, columns, *shape)
                _write(folder / name, panel.flatten(0, 1), split, meta, panel.shape[1])
            elif name != "samples" and not torch.equal(panel, batch.x):
                paired = [batch.x, panel] if panel.shape == batch.x.shape else [panel]
                _write(folder / name, torch.stack([p.float() for p in paired], 1).flatten(0, 1), split, meta)


def write_tiles(folder: Path, samples: Tensor, real: Tensor, levels: int | None) -> None:
    """Write two sheets without gaps, at the images' resolution, from which a page cuts single images."""
    for name, images in (("generated", samples), ("real", real)):
        plots.write_grid(folder / f"tiles_{name}.png", images[:GRID].cpu().numpy(), levels, gap=0, least=1)


def interpolate_prior(model: Decodes) -> Tensor:
    """(64, *shape): 8 rows, spherical interpolations of two codes, as a Gaussian's mass is on a shell (White 2016)."""
    ends = model.prior(16).view(2, 8, 1, -1)  # (2, rows, 1, latent)
    share = torch.linspace(0, 1, 8, device=ends.device)[None, :, None]  # (1, columns, 1)
    return model.decode(slerp(ends[0], ends[1], share).flatten(0, 1))


def _sample_long_text(model: GenerativeModel) -> Tensor:
    """(TEXTS, LENGTH or more) characters: each stretch continues the one before."""
    parts = [model.sample(TEXTS)]
    while sum(p.shape[1] for p in parts) < LENGTH:
        parts.append(model.sample(TEXTS, cond=parts[-1]))
    return torch.cat(parts, 1)


def _write(path: Path, samples: Tensor, split: Split, meta: Mapping[str, Any], columns: int = 8) -> None:
    values = samples.cpu().numpy()
    if meta.get("alphabet"):
        texts = ["".join(meta["alphabet"][i] for i in row) for row in values]
        if meta["modality"] == "lines" and values.shape[1:] == split.spec.shape:  # longer: text of many lines
            texts = ["\n".join(text.partition("\n")[0] for text in texts)]
        plots.write_texts(path.with_suffix(".txt"), texts)
    elif values.ndim == 5:
        plots.write_strips(path.with_suffix(".png"), [values[:VIDEOS]], split.spec.levels)
    elif values.ndim == 4:
        plots.write_grid(path.with_suffix(".png"), values, split.spec.levels, columns)


def _format_translations(translated: Tensor, split: Split) -> str:
    """Format source, translation and true target of the first items, one below the other."""
    pairs, batch = cast("PairSplit", split), translated_batch(split)
    assert batch.cond is not None
    columns = {"source": batch.cond[:LINES], "translated": translated[:LINES], "true": batch.x[:LINES]}
    lines = [[f"{name:<12}{text}" for text in pairs.texts(codes)] for name, codes in columns.items()]
    return "\n\n".join("\n".join(row) for row in zip(*lines, strict=True))


def _write_forecast(path: Path, forecast: Tensor, split: Split, meta: Mapping[str, Any]) -> None:
    """Plot the last windows of the split: of a single column more of them, of several a row of windows each."""
    shown = min(split.spec.shape[1], COLUMNS_OF_SERIES)
    index = torch.arange(len(split))[-(WINDOWS if shown == 1 else plots.ACROSS) :]
    batch = next(iter(iter_batches(split, index)))
    if batch.cond is None:
        return
    names = [str(name) for name in meta.get("names") or ["value"] * shown]
    # The windows of a column after those of the column before: (columns * windows, P or T)
    past, truth = (
        np.concatenate([t[..., d].cpu().double().numpy() for d in range(shown)]) for t in (batch.cond, batch.x)
    )
    bands = np.concatenate([forecast[index, ..., d].numpy() for d in range(shown)])
    labels = [names[d] for d in range(shown) for _ in index]
    season = split.season if isinstance(split, Seasonal) else 0
    # Two seasons of the past are shown, or three horizons where there is no season
    least = max(2 * season, 3 * truth.shape[1] if not season else 0, truth.shape[1])
    plots.plot_forecasts(path, past[:, -least:], truth, np.ascontiguousarray(bands), QUANTILES, labels)
