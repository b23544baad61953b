"""Changing an item's class in code space: encode, add the difference of two classes' mean codes, decode.

An edit is good if the judge calls it the class asked for and it is still recognisably the item: two figures that pull
against each other. `kept` is 1 - |edited - x|^2 / |m - x|^2, summed over items, where m is the mean image of the class
asked for: the nearest to x that an answer can be which knows that class and nothing of x.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from genfoundry.data.iterate import EVAL_BATCH
from genfoundry.evaluation import plots
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.judge import spread
from genfoundry.evaluation.metrics.figures import kept
from genfoundry.evaluation.metrics.latents import Coded
from genfoundry.evaluation.predictions import Scores
from genfoundry.models.abilities import Classifies, Decodes, Edits, Embeds
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.evaluation.context import Bench

ITEMS, SHOWN = 100, 12
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # multiples of the difference
Call = Callable[[float], Tensor]  # a strength -> (n, *shape)


def can(model: Learner) -> bool:
    """Whether the model edits: what embeds and decodes does."""
    return isinstance(model, Embeds) and isinstance(model, Decodes | Edits)


@torch.no_grad()
def edited(model: Learner, coded: tuple[Coded, Coded], bench: Bench, seed: int) -> tuple[Scores, dict[str, Scores]]:
    """`edit_flips`, `edit_moved`, `edit_away` (n,) at strength 1; the same of classical edits. Two pictures."""
    train, test = coded
    judge, levels = bench.judge, bench.split.spec.levels
    classes = bench.split.spec.classes
    if not can(model) or getattr(judge, "kind", "") != "classes" or train.label is None or test.label is None:
        return {}, {}
    if levels is None or classes < 2 or not torch.bincount(train.label, minlength=classes).all():
        return {}, {}
    x, label = test.x[:ITEMS], test.label[:ITEMS]
    draw = torch.Generator().manual_seed(derive_seed("edits", bench.split.name))
    asked = (label + torch.randint(1, classes, label.shape, generator=draw)) % classes
    codes, means = (_means(values, train.label, classes) for values in (train.z, train.x))
    away = (means[asked] - x).square().flatten(1).mean(1)

    def scored(call: Call, strength: float) -> Scores:
        made = call(strength).double().clamp(0, levels - 1)
        moved = (made - x).square().flatten(1).mean(1)
        hits = _said(cast("Learner", judge), made, levels) == asked
        found = {"edit_flips": hits.double().numpy(), "edit_moved": moved.numpy(), "edit_away": away.numpy()}
        return grouped(found, bench.split, test.index[:ITEMS])

    def values(strength: float) -> Tensor:
        return x + strength * (means[asked] - means[label])

    def plain(way: str, call: Call, strength: float = 1.0) -> Scores:  # no model decides it
        return dict(bench.shared.get(f"edits {way} {strength:g}", partial(scored, call, strength)))

    shift = (codes[asked] - codes[label]).float()
    made = {s: _edit(model, bench, test, s * shift, seed) for s in STRENGTHS}
    own = {s: scored(made.__getitem__, s) for s in STRENGTHS}
    others = {s: plain("by means", values, s) for s in STRENGTHS}
    bench.drawings["edits"] = partial(_curves, found={"codes": own, "class means of the values": others})
    sheet = [x[:SHOWN].double(), *(one[:SHOWN].double() for one in made.values())]
    bench.pictures["edited"] = torch.stack(sheet, 1).flatten(0, 1).float()
    near = plain("to the nearest", lambda _: _nearest(x, asked, train))
    return own[1.0], {"class means of the values": others[1.0], "nearest item of the class": near}


def _edit(model: Learner, bench: Bench, test: Coded, shift: Tensor, seed: int) -> Tensor:
    """(n, *shape): the first items of test with their codes moved by `shift` (n, K)."""
    made = []
    for i, part in enumerate(torch.split(torch.arange(len(shift)), EVAL_BATCH)):
        torch.manual_seed(derive_seed(seed, bench.split.name, "edit", i))
        if isinstance(model, Edits):
            batch = bench.split.eval_batch(test.index[part])
            made.append(model.edit(batch.to(model.device), shift[part].to(model.device)))
        else:
            made.append(cast("Decodes", model).decode((test.z[part] + shift[part]).to(model.device)))
    return torch.cat([one.cpu() for one in made])


def _means(values: Tensor, label: Tensor, classes: int) -> Tensor:
    """(classes, *shape): the mean of each class."""
    return torch.stack([values[label == k].double().mean(0) for k in range(classes)])


def _said(judge: Learner, x: Tensor, levels: int) -> Tensor:
    """(n,) what the judge calls images of 0..levels-1."""
    whole = spread(x.round(), levels, judge.spec.levels or 256)
    said = [
        cast("Classifies", judge).classify(Batch(p.to(judge.device))).argmax(1).cpu()
        for p in torch.split(whole, EVAL_BATCH)
    ]
    return torch.cat(said)


def _nearest(x: Tensor, asked: Tensor, train: Coded) -> Tensor:
    """(n, *shape): the training item of the class asked for that is nearest to each of x."""
    gaps = torch.cdist(x.flatten(1).float(), train.x.flatten(1).float())
    assert train.label is not None
    return train.x[gaps.masked_fill(train.label[None] != asked[:, None], torch.inf).argmin(1)]


def _curves(path: Path, found: dict[str, dict[float, Scores]]) -> None:
    """Identity kept against edits that flip, a line a way to edit, over the strengths."""
    curves = {}
    for name, rows in found.items():
        flips = [float(np.mean(np.asarray(row["edit_flips"], np.float64))) for row in rows.values()]
        sums = np.array([[float(np.sum(row[f"edit_{which}"])) for which in ("moved", "away")] for row in rows.values()])
        curves[name] = (flips, kept(sums).tolist())
    title = f"strengths {', '.join(f'{s:g}' for s in STRENGTHS)} of the difference"
    plots.plot_lines(path, curves, x="edits that flip", y="identity kept", title=title)
