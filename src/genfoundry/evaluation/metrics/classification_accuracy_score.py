"""Are class-conditional samples worth training on? Classifiers are trained on them and tested on real items.

Classification accuracy score: Ravuri and Vinyals 2019 (arXiv:1905.10887).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.config import Train, check
from genfoundry.data.dataset import split_class
from genfoundry.data.iterate import iter_batches
from genfoundry.data.loaders import Loader
from genfoundry.models.abilities import Classifies
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed
from genfoundry.training.loop import fit

if TYPE_CHECKING:
    from genfoundry.splits import Split

EPOCHS, BATCH = 5, 32
TRAININGS = 3  # classifiers, each with its own initial weights and order of items
Hits = NDArray[np.float64]


def real(train: Split, n: int) -> tuple[Tensor, Tensor]:
    """(n, C, H, W) labelled items of `train` and their labels (n,), or all if there are fewer: what samples replace."""
    parts = list(iter_batches(train, labelled_items(train)))
    x = torch.cat([b.x for b in parts]).cpu()
    y = torch.cat([b.label for b in parts if b.label is not None]).cpu()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(derive_seed("augmentation", train.name)))[:n]
    return x[order], y[order]


def labelled_items(split: Split) -> Tensor:
    found = [b.label >= 0 for b in iter_batches(split) if b.label is not None]
    return torch.cat(found).nonzero()[:, 0].cpu() if found else torch.zeros(0, dtype=torch.long)


def hits(judge: Learner, x: Tensor, label: Tensor, test: Split, name: str) -> Hits:
    """(N, TRAININGS) 1.0 where a classifier of the judge's kind, trained on (x, label), is right about a test item.

    N are the labelled items of `test`; it and x (n, C, H, W) are at the judge's own levels.
    """
    found = [_trained(judge, x, label, f"{name} {number}") for number in range(TRAININGS)]
    return np.stack([_right(model, test) for model in found], 1)


def _trained(judge: Learner, x: Tensor, label: Tensor, name: str) -> Learner:
    spec = replace(judge.spec, class_counts=tuple(torch.bincount(label, minlength=judge.spec.classes).tolist()))
    torch.manual_seed(derive_seed("classifier", name, "init"))
    model = type(judge)(spec, judge.config).to(judge.device)
    tensors = {"x": x.to(judge.device), "label": label.to(judge.device)}
    split, batch = split_class("images")(name, tensors, spec), min(BATCH, len(x))
    steps = {model.phases[0]: math.ceil(EPOCHS * len(x) / batch)}
    train = check(Train, {**model.defaults, "batch": batch, "steps": steps}, "classifier")
    for _ in fit(model, Loader(split, batch, ("classifier", name)), train, key=("classifier", name)):
        pass
    return model.eval()


@torch.inference_mode()
def _right(model: Learner, test: Split) -> Hits:
    """(N,) of the labelled items of `test`."""
    assert isinstance(model, Classifies)
    right = [torch.zeros(0, dtype=torch.float64)]
    for part in iter_batches(test):
        if part.label is not None:
            answer = model.classify(part.to(model.device)).argmax(1).cpu()
            right.append((answer == part.label.cpu())[part.label.cpu() >= 0].double())
    return np.asarray(torch.cat(right).numpy())
