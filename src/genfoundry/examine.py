"""What is measured on `test` alone, beyond what ranking and promotion need: scores for `yardstick.figures`.

Samples in a control network and against single training items, class-conditional samples by what classifiers learn
from them, restorations and completions. What a model is asked follows from its abilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genfoundry import augmentation, memory, metrics, restoration
from genfoundry.abilities import anomaly, bounds, codes, completion, continuation, edits, horizons, translation, video
from genfoundry.baselines.base import batches
from genfoundry.config import Bound
from genfoundry.evaluate import SIZE, Judges, Scores, control, features, items, spread
from genfoundry.models.base import Completes, Embeds, GenerativeModel, Learner, Reconstructs, Tightens
from genfoundry.types import counted

if TYPE_CHECKING:
    from genfoundry.data.base import Dataset, Split


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
    _near: Tensor = field(default_factory=lambda: torch.zeros(0))

    @cached_property
    def known(self) -> Tensor:
        """(N, P): the training items as `memory` compares them."""
        levels = self.train.spec.levels
        return torch.cat([memory.small(b.x, levels) for b in batches(self.train)])

    @cached_property
    def control(self) -> Learner | None:
        return control(self.judge) if self.judge is not None else None

    def near_real(self, n: int) -> Tensor:
        """(n,) distances of the real items to the nearest training item."""
        if len(self._near) != n:
            queries = memory.small(items(self.split, n), self.split.spec.levels)
            self._near = memory.nearest(queries.to(self.known.device), self.known).first
        return self._near


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
    out: Scores = {}
    if isinstance(bench.control, Judges):
        out["features_control"] = features(bench.control, drawn, levels)
        out["real_control"] = features(bench.control, items(bench.split, len(drawn)), levels)
    if len(bench.train) > 1:
        near = memory.nearest(memory.small(drawn, levels).to(bench.known.device), bench.known)
        out["near"], out["copies"] = near.first.cpu().double().numpy(), near.copies.cpu().double().numpy()
        out["near_real"] = bench.near_real(len(drawn)).cpu().double().numpy()
        closest = near.first.argsort()[:32].cpu()
        twins = bench.train.batch(near.index.cpu()[closest]).x.cpu()
        bench.pictures["closest"] = torch.stack([drawn[closest].to(twins.dtype), twins], 1).flatten(0, 1)
    return out


@torch.no_grad()
def abilities(model: Learner, bench: Bench, seed: int, n: int) -> tuple[Scores, dict[str, Scores]]:
    """Scores of what the model can do besides; and of classical methods (name -> scores) that can do the same."""
    own: Scores = {**bounds.tightened(model, bench, seed), **bounds.reconstructed(model, bench, seed)}
    own |= anomaly.surprise(model, bench, seed) | codes.chosen_by(model, bench) | horizons.rolled(model, bench)
    own |= continuation.continued(model, bench, seed)
    own |= video.continued(model, bench, seed, n)
    found, beside = completion.completed(model, bench, seed)
    own |= found
    if (coded := codes.read(model, bench)) is not None:
        codes.between(model, coded[1], bench)
        for scores, others in (codes.held(model, coded, bench), edits.edited(model, coded, bench, seed)):
            own |= scores
            for name, found in others.items():
                beside.setdefault(name, {}).update(found)
    if isinstance(model, GenerativeModel) and model.conditional and getattr(bench.judge, "kind", "") == "classes":
        own |= _conditional(model, bench, seed, n)
    for damage, answer in _restored(model, bench):
        posed = restoration.posed(bench.split, damage)
        own |= posed.scores(damage, answer)
        bench.pictures[f"restored_{damage}"] = posed.sheet(answer)
        for name, method in restoration.classical(bench.train, damage).items():
            other = method(posed.x, posed.known, posed.levels)
            beside.setdefault(name, {}).update(posed.scores(damage, other))
    return own, beside


def _conditional(model: GenerativeModel, bench: Bench, seed: int, n: int) -> Scores:
    judge, over = bench.judge, bench.judge.spec.levels if bench.judge else None
    assert judge is not None and over is not None
    torch.manual_seed(counted(seed, "labels"))
    labels = torch.multinomial(torch.tensor(model.spec.class_shares), n, replacement=True)
    drawn = [model.sample(len(part), label=part.to(model.device)).cpu() for part in torch.split(labels, SIZE)]
    x = spread(torch.cat(drawn), model.spec.levels, over)
    plain = [bench.dataset.split(name) for name in ("train", bench.split.name)]
    with torch.enable_grad():
        return dict(augmentation.worth(judge, x, labels, plain[0], plain[1]))


def _restored(model: Learner, bench: Bench) -> Iterator[tuple[str, Tensor]]:
    """Damage -> what the model made of the items so damaged; restorations were answered before, for the ranking."""
    for damage in metrics.DAMAGES:
        if f"restored_{damage}" in bench.found:
            yield damage, bench.found[f"restored_{damage}"]


def reasons(model: Learner, judge: Learner | None) -> dict[str, str]:
    """What a figure needs -> why it is not there."""
    bounded = getattr(model, "likelihood", "none") != "none"
    unread = "no labels, or too few" if isinstance(model, Embeds) else "gives no codes"
    unedited = "no labels, or no judge of classes" if edits.can(model) else "gives no codes that it decodes"
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
