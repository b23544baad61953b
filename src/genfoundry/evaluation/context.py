"""What is measured on `test` alone, beyond what ranking and promotion need: scores for `yardstick.figures`.

Samples in a control network and against single training items, class-conditional samples by what classifiers learn
from them, restorations and completions. What a model is asked follows from its abilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.config import Bound
from genfoundry.data.dataset import Subset
from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices, sample_items
from genfoundry.evaluation import objectives
from genfoundry.evaluation.baselines import classical_restoration
from genfoundry.evaluation.cache import Shared
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.judge import Judges, features, spread
from genfoundry.evaluation.metrics import (
    bounds,
    classification_accuracy_score,
    completion,
    latent_edits,
    latents,
    memorization,
    ood,
    rolling_forecast,
    text_continuation,
    translation,
    video,
)
from genfoundry.evaluation.predictions import Scores, restoration
from genfoundry.models.abilities import Completes, Embeds, Reconstructs, Tightens
from genfoundry.models.base import GenerativeModel, Learner
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.data.dataset import Dataset
    from genfoundry.splits import Split

Array = NDArray[np.generic]


@dataclass
class Bench:
    """The real items that every row of a table is held against, computed once; `train` at the task's levels."""

    dataset: Dataset
    train: Split
    split: Split
    judge: Learner | None
    found: Mapping[str, Tensor] = field(default_factory=dict)  # the model's answers on `split`
    bound: Bound = field(default_factory=Bound)
    binarise: str | None = None
    without: tuple[int, ...] = ()  # classes that were left out of training
    pictures: dict[str, Tensor] = field(default_factory=dict)  # name -> images, filled on the way
    drawings: dict[str, Callable[[Path], None]] = field(default_factory=dict)  # name -> what draws it
    control: Learner | None = None  # the judge's network with random weights
    shared: Shared = field(default_factory=Shared)  # what no model decides

    @cached_property
    def known(self) -> Tensor:
        """(N, P): the training items as `memory` compares them."""
        levels = self.train.spec.levels
        return torch.cat([memorization.small(b.x, levels) for b in iter_batches(self.train)])

    @cached_property
    def plain(self) -> Split:
        """The items of `split` at the data's own levels, which are the judge's."""
        whole = self.dataset.split(self.split.name)
        return whole if len(whole) == len(self.split) else Subset(whole, len(self.split))

    def near_real(self, n: int) -> Array:
        """(n,) distances of the real items to the nearest training item."""

        def compute() -> Scores:
            queries = memorization.small(sample_items(self.split, n), self.split.spec.levels)
            return {
                "near": memorization.nearest(queries.to(self.known.device), self.known).first.cpu().double().numpy()
            }

        return np.asarray(self.shared.get(f"near {self.split.name} {n}", compute)["near"])

    def classical(self, damage: str, posed: restoration.Posed) -> dict[str, Scores]:
        """Classical method -> scores of what it makes of test items so damaged: the same for every model."""

        def compute(method: classical_restoration.Method) -> Scores:
            return dict(posed.scores(damage, method(posed.x, posed.known, posed.levels)))

        return {
            name: dict(self.shared.get(f"{name} {damage} {self.split.name}", partial(compute, method)))
            for name, method in classical_restoration.restoration_methods(self.train, damage).items()
        }


def real_features(
    shared: Shared, split: Split, found: Mapping[str, Tensor], judge: Learner | None, by: str = "judge"
) -> NDArray[np.float32] | None:
    """(n, F) features of the n real items that drawn images are compared with; None where nothing is compared.

    `by` tells the networks apart that have features.
    """
    if not isinstance(judge, Judges) or "samples" not in found or len(split.spec.shape) != 3:
        return None
    n = len(found["samples"])
    compute = lambda: {"real": features(judge, sample_items(split, n), split.spec.levels)}  # noqa: E731
    return np.asarray(shared.get(f"real {split.name} {n} {by}", compute)["real"], np.float32)


def samples(found: Mapping[str, Tensor], bench: Bench) -> Scores:
    """Scores of drawn images in the control network and against the training items, of videos against what came, and
    counts of translations.
    """
    if "samples" in found and len(bench.split.spec.shape) == 4:
        return video.compared(found["samples"], bench.split)
    if "translated" in found:
        return dict(translation.counted(found["translated"], bench.split))
    if "samples" not in found or len(bench.split.spec.shape) != 3:
        return {}
    drawn, levels = found["samples"], bench.split.spec.levels
    index = sample_indices(bench.split, len(drawn))
    out: Scores = {}
    if isinstance(bench.control, Judges):
        out["features_control"] = features(bench.control, drawn, levels)
        real = real_features(bench.shared, bench.split, found, bench.control, "control")
        out |= grouped({"real_control": real}, bench.split, index)
    if len(bench.train) > 1:
        near = memorization.nearest(memorization.small(drawn, levels).to(bench.known.device), bench.known)
        out["near"], out["copies"] = near.first.cpu().double().numpy(), near.copies.cpu().double().numpy()
        out |= grouped({"near_real": bench.near_real(len(drawn))}, bench.split, index)
        closest = near.first.argsort()[:32].cpu()
        twins = bench.train.eval_batch(near.index.cpu()[closest]).x.cpu()
        bench.pictures["closest"] = torch.stack([drawn[closest].to(twins.dtype), twins], 1).flatten(0, 1)
    return out


@torch.no_grad()
def abilities(model: Learner, bench: Bench, seed: int, n: int) -> tuple[Scores, dict[str, Scores]]:
    """Scores of what the model can do besides; and of classical methods (name -> scores) that can do the same."""
    own: Scores = {**bounds.tightened(model, bench, seed), **bounds.reconstructed(model, bench, seed)}
    own |= ood.surprise(model, bench, seed) | latents.chosen_by(model, bench) | rolling_forecast.rolled(model, bench)
    own |= text_continuation.continued(model, bench, seed)
    own |= video.continued(model, bench, seed, n)
    found, beside = completion.completed(model, bench, seed)
    own |= found
    if (coded := latents.read(model, bench)) is not None:
        latents.between(model, coded[1], bench)
        for scores, others in (latents.held(model, coded, bench), latent_edits.edited(model, coded, bench, seed)):
            own |= scores
            for name, found in others.items():
                beside.setdefault(name, {}).update(found)
    if isinstance(model, GenerativeModel) and model.conditional and getattr(bench.judge, "kind", "") == "classes":
        own |= _conditional(model, bench, seed, n)
    for damage, answer in _restored(model, bench):
        posed = restoration.posed(bench.split, damage)
        own |= posed.scores(damage, answer)
        bench.pictures[f"restored_{damage}"] = posed.sheet(answer)
        for name, scores in bench.classical(damage, posed).items():
            beside.setdefault(name, {}).update(scores)
    return own, beside


def _conditional(model: GenerativeModel, bench: Bench, seed: int, n: int) -> Scores:
    judge, over = bench.judge, bench.judge.spec.levels if bench.judge else None
    assert judge is not None and over is not None
    torch.manual_seed(derive_seed(seed, "labels"))
    n = min(n, sum(bench.train.spec.class_counts) or n)
    labels = torch.multinomial(torch.tensor(model.spec.class_shares), n, replacement=True)
    drawn = [model.sample(len(part), label=part.to(model.device)).cpu() for part in torch.split(labels, EVAL_BATCH)]
    x = spread(torch.cat(drawn), model.spec.levels, over)
    test = bench.plain
    compute = lambda: {"hits": classification_accuracy_score.hits(  # noqa: E731
        judge, *classification_accuracy_score.real(bench.dataset.split("train"), n), test, "real")}  # fmt: skip
    with torch.enable_grad():
        own = classification_accuracy_score.hits(judge, x, labels, test, "samples")
        real = bench.shared.get(f"class hits {test.name} {n}", compute)["hits"]
    index = classification_accuracy_score.labelled_items(test)
    return grouped({"class_hits": own, "class_hits_real": real}, test, index)


def _restored(model: Learner, bench: Bench) -> Iterator[tuple[str, Tensor]]:
    """Damage -> what the model made of the items so damaged; restorations were answered before, for the ranking."""
    for damage in objectives.DAMAGES:
        if f"restored_{damage}" in bench.found:
            yield damage, bench.found[f"restored_{damage}"]


def reasons(model: Learner, judge: Learner | None) -> dict[str, str]:
    """What a figure needs -> why it is not there."""
    bounded = getattr(model, "likelihood", "none") != "none"
    unread = "no labels, or too few" if isinstance(model, Embeds) else "gives no codes"
    unedited = "no labels, or no judge of classes" if latent_edits.can(model) else "gives no codes that it decodes"
    return {
        "rate": "its codes cost no nats",
        "discrete": "no discrete codes at this level",
        "units": "no codes whose mean costs nats" if isinstance(model, Embeds) else "gives no codes",
        "predict": "no likelihood of a part" if isinstance(model, Completes) else "does not complete",
        **({} if getattr(model, "ordered", True) else dict.fromkeys(("complete", "predict"), "a mixture over orders")),
        "continue": "no likelihood of a part",
        "tighten": "not finite" if isinstance(model, Tightens) else "no bound that more draws tighten",
        "forecast": "does not forecast",
        "reconstruct": "not finite" if isinstance(model, Reconstructs) else "does not reconstruct",
        "probe": unread,
        "edit": unedited,
        "translate": "does not translate",
        "surprise": "not such data, or not finite" if bounded else "no likelihood",
        "classes": "trained on every class" if bounded else "no likelihood",
    }
