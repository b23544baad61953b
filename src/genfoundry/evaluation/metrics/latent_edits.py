"""Latent edits: changing an item's class by adding the difference of two classes' mean codes to its code.

An edit is good if the judge calls it the class asked for and it is still recognisably the item: two metrics that pull
against each other. The identity kept is 1 - |edited - x|^2 / |m - x|^2, summed over items, where m is the mean image of
the class asked for: the nearest to x that an answer can be which knows that class and nothing of x.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation import plots
from genfoundry.evaluation.bootstrap import Estimate, bootstrap_sums
from genfoundry.evaluation.metric import Draw, Metric, Requirement
from genfoundry.evaluation.metrics.latents import Encoded, encode_splits
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups, with_ids
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext

ITEMS, SHOWN = 100, 12
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # multiples of the difference


def can_edit(model: Any) -> bool:
    """Whether the model edits: what embeds and decodes does."""
    from genfoundry.models.abilities import Decodes, Edits, Embeds

    return isinstance(model, Embeds) and isinstance(model, Decodes | Edits)


@dataclass(frozen=True)
class Task:
    """Items (n), their classes, the classes that they are to have, and train's class means of the values."""

    x: Tensor
    label: Tensor
    target: Tensor
    index: Tensor
    means: Tensor  # (classes, *shape)
    train: Encoded

    def move_values(self, strength: float) -> Tensor:
        """The classical edit: the items moved by the difference of two classes' mean values."""
        return self.x + strength * (self.means[self.target] - self.means[self.label])

    def replace_items(self) -> Tensor:
        """(n, *shape): the training item of the class asked for that is nearest to each item."""
        import torch

        assert self.train.label is not None
        gaps = torch.cdist(self.x.flatten(1).float(), self.train.x.flatten(1).float())  # (n, N)
        other = self.train.label[None] != self.target[:, None]
        return self.train.x[gaps.masked_fill(other, torch.inf).argmin(1)]


def edit(model: Any, context: EvalContext) -> Outputs:
    """ "edited": strength -> (n, *shape), and the "edit_task" that these answer."""
    import torch

    split, classes = context.split, context.split.spec.classes
    if not can_edit(model) or getattr(context.judge, "kind", "") != "classes":
        return {}
    if split.spec.levels is None or classes < 2 or (encoded := encode_splits(model, context)) is None:
        return {}
    train, test = encoded
    # A class without a training item has no mean code
    if train.label is None or test.label is None or not torch.bincount(train.label, minlength=classes).all():
        return {}
    label = test.label[:ITEMS]
    draw = torch.Generator().manual_seed(derive_seed("edits", split.name))
    # Any other class, all equally likely
    target = (label + torch.randint(1, classes, label.shape, generator=draw)) % classes
    codes, means = (_class_means(values, train.label, classes) for values in (train.z, train.x))
    shift = (codes[target] - codes[label]).float()  # (n, K)
    edited = {strength: _edit_items(model, context, test, strength * shift) for strength in STRENGTHS}
    return {"edited": edited, "edit_task": Task(test.x[:ITEMS], label, target, test.index[:ITEMS], means, train)}


def _edit_items(model: Any, context: EvalContext, test: Encoded, shift: Tensor) -> Tensor:
    """(n, *shape): the first items of test with their codes moved by `shift` (n, K)."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH
    from genfoundry.models.abilities import Edits

    made = []
    for i, part in enumerate(torch.split(torch.arange(len(shift)), EVAL_BATCH)):
        torch.manual_seed(derive_seed(context.seed, context.split.name, "edit", i))
        if isinstance(model, Edits):
            batch = context.split.eval_batch(test.index[part])
            made.append(model.edit(batch.to(model.device), shift[part].to(model.device)).cpu())  # type: ignore[attr-defined]
        else:
            made.append(model.decode((test.z[part] + shift[part]).to(model.device)).cpu())
    return torch.cat(made)


def _class_means(values: Tensor, label: Tensor, classes: int) -> Tensor:
    """(classes, *shape): the mean of each class."""
    import torch

    return torch.stack([values[label == k].double().mean(0) for k in range(classes)])


def score_edits(outputs: Outputs, context: EvalContext) -> Scores:
    """ "edit_flips", "edit_moved", "edit_away" (n,) of edits at strength 1."""
    return _score_strengths(outputs, context)[1.0] if "edited" in outputs else {}


def _score_strengths(outputs: Outputs, context: EvalContext) -> dict[float, Scores]:
    def score() -> dict[float, Scores]:
        return {s: _score_edit(outputs["edit_task"], made, context) for s, made in outputs["edited"].items()}

    return context.once(f"scores of edits {id(outputs['edited'])}", score)


def _score_classical(outputs: Outputs, context: EvalContext) -> tuple[dict[float, Scores], Scores]:
    """Scores of items moved by class means of the values, by strength, and of nearest items; no model decides them."""
    task: Task = outputs["edit_task"]

    def score_at(strength: float) -> Scores:
        compute = lambda: _score_edit(task, task.move_values(strength), context)  # noqa: E731
        return dict(context.cached(f"edits by means {strength:g}", compute))

    compute = lambda: _score_edit(task, task.replace_items(), context)  # noqa: E731
    return {s: score_at(s) for s in STRENGTHS}, dict(context.cached("edits to the nearest 1", compute))


def score_classical_edits(outputs: Outputs, context: EvalContext) -> dict[str, Scores]:
    """The same scores of two edits that need no model."""
    if "edited" not in outputs:
        return {}
    moved, nearest = _score_classical(outputs, context)
    return {"class means of the values": moved[1.0], "nearest item of the class": nearest}


def _score_edit(task: Task, made: Tensor, context: EvalContext) -> Scores:
    levels, judge = context.split.spec.levels, context.judge
    assert levels is not None and judge is not None
    made = made.double().clamp(0, levels - 1)
    moved = (made - task.x).square().flatten(1).mean(1)  # (n,)
    away = (task.means[task.target] - task.x).square().flatten(1).mean(1)
    flips = _classify_images(judge, made, levels) == task.target
    scores = {"edit_flips": flips.double().numpy(), "edit_moved": moved.numpy(), "edit_away": away.numpy()}
    return add_groups(scores, context.split, task.index)


def _classify_images(judge: Any, x: Tensor, levels: int) -> Tensor:
    """(n,) what the judge calls images of 0..levels-1."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH
    from genfoundry.evaluation.judge import rescale_levels
    from genfoundry.types import Batch

    images = rescale_levels(x.round(), levels, judge.spec.levels or 256)
    parts = torch.split(images, EVAL_BATCH)
    return torch.cat([judge.classify(Batch(part.to(judge.device))).argmax(1).cpu() for part in parts])


def plot_edits(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """A sheet of edited items, the original first; and identity kept against edits that flip, over the strengths."""
    import torch

    if "edited" not in outputs:
        return {}
    moved, _ = _score_classical(outputs, context)
    ways = {"codes": _score_strengths(outputs, context), "class means of the values": moved}
    sheet = [outputs["edit_task"].x[:SHOWN].double(), *(made[:SHOWN].double() for made in outputs["edited"].values())]
    images = torch.stack(sheet, 1).flatten(0, 1).float().numpy()
    draw = partial(plots.write_grid, images=images, levels=context.split.spec.levels, columns=len(STRENGTHS) + 1)
    return {"edits": partial(_draw_curves, ways=ways), "edited": draw}


def _draw_curves(path: Path, ways: Mapping[str, Mapping[float, Scores]]) -> None:
    curves = {}
    for name, strengths in ways.items():
        flips = [float(np.mean(np.asarray(row["edit_flips"], np.float64))) for row in strengths.values()]
        sums = [[float(np.sum(row[f"edit_{key}"])) for key in ("moved", "away")] for row in strengths.values()]
        curves[name] = (flips, identity_kept(np.array(sums)).tolist())
    title = f"strengths {', '.join(f'{s:g}' for s in STRENGTHS)} of the difference"
    plots.plot_lines(path, curves, x="edits that flip", y="identity kept", title=title)


def identity_kept(sums: Array) -> Array:
    """(..., 2) sums of `edit_moved` and `edit_away` -> (...): 1 - the former over the latter."""
    return np.asarray(1 - sums[..., 0] / sums[..., 1])


def compute_identity(scores: Scores, dims: int) -> dict[str, Estimate]:
    """ "edit_identity"."""
    (moved, ids), (away, _) = with_ids(scores, "edit_moved"), with_ids(scores, "edit_away")
    return {"edit_identity": bootstrap_sums("edit_identity", identity_kept, np.stack([moved, away], 1), ids)}


def _explain(model: Any, judge: Any) -> str:
    return "no labels, or no judge of classes" if can_edit(model) else "gives no codes that it decodes"


_SHARED: dict[str, Any] = {
    "direction": "maximize",
    "requires": Requirement("edits", ("Embeds", "judge", "labels"), _explain),
    "group": "edits",
    "column": False,
    "test_only": True,
    "predict": edit,
    "score": score_edits,
    "beside": score_classical_edits,
    "plots": plot_edits,
}
METRICS = (
    Metric(
        name="edit_flips",
        title="edits that flip",
        unit="share",
        description="items, moved by the difference of two classes' mean codes, "
        "that the judge calls the class asked for",
        inputs=("edit_flips",),
        **_SHARED,
    ),
    Metric(
        name="edit_identity",
        title="identity kept",
        unit="of 1",
        description="1: the edited item is the original; 0: as far from it as the mean image of the class asked for",
        inputs=("edit_moved", "edit_away"),
        statistics=compute_identity,
        **_SHARED,
    ),
)
