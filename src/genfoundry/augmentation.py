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

from genfoundry.baselines.base import batches
from genfoundry.config import Train, check
from genfoundry.data.base import Loader
from genfoundry.data.pixels import ImageSplit
from genfoundry.groups import grouped
from genfoundry.models.base import Classifies, Learner
from genfoundry.train import fit
from genfoundry.types import counted

if TYPE_CHECKING:
    from genfoundry.data.base import Split
    from genfoundry.metrics import Scores

FEW = 1000  # real labels that samples are added to
EPOCHS, BATCH = 10, 64
Hits = NDArray[np.float64]


def worth(judge: Learner, samples: Tensor, labels: Tensor, train: Split, test: Split) -> Scores:
    """(N,) what classifiers of the judge's kind get right on the N labelled items of `test`.

    `class_hits`: trained on the samples; `class_hits_real`: on as many real items; `plain`: on 1,000 real items;
    `augmented`: on these and the samples. All four see the same number of batches. `train` and `test` are at the
    judge's own levels, and so are `samples` (n, C, H, W) with `labels` (n,). The items' groups stand beside.
    """
    real = [train.batch(part) for part in torch.split(_labelled(train), 500)]
    x = torch.cat([b.x for b in real]).cpu()
    y = torch.cat([b.label for b in real if b.label is not None]).cpu()
    n, few = min(len(samples), len(x)), min(FEW, len(x))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(counted("augmentation", train.name)))
    arms = {
        "class_hits": (samples[:n], labels[:n]),
        "class_hits_real": (x[order[:n]], y[order[:n]]),
        "plain": (x[order[:few]], y[order[:few]]),
        "augmented": (torch.cat([x[order[:few]], samples]), torch.cat([y[order[:few]], labels])),
    }
    steps = math.ceil(EPOCHS * max(len(samples), few) / BATCH)
    if n == few:  # as many samples as real labels: one and the same arm
        del arms["plain"]
    found = {name: hits(judge, *pair, steps, name, test) for name, pair in arms.items()}
    return grouped({"plain": found["class_hits_real"], **found}, test, _labelled(test))


def _labelled(split: Split) -> Tensor:
    found = [b.label >= 0 for b in batches(split) if b.label is not None]
    return torch.cat(found).nonzero()[:, 0].cpu() if found else torch.zeros(0, dtype=torch.long)


def hits(judge: Learner, x: Tensor, label: Tensor, steps: int, name: str, test: Split) -> Hits:
    """(N,) 1.0 where a new network of the judge's kind, trained on (x, label), is right about a test item."""
    spec = replace(judge.spec, class_counts=tuple(torch.bincount(label, minlength=judge.spec.classes).tolist()))
    torch.manual_seed(counted("classifier", "init"))
    model = type(judge)(spec, judge.config).to(judge.device)
    assert isinstance(model, Classifies)
    tensors = {"x": x.to(judge.device), "label": label.to(judge.device)}
    split = ImageSplit(name, tensors, spec, spec.levels, None)
    batch = min(BATCH, len(x))
    train = check(Train, {**model.defaults, "batch": batch, "steps": {model.phases[0]: steps}}, "classifier")
    for _ in fit(model, Loader(split, batch, ("classifier", name)), train, key=("classifier", name)):
        pass
    model.eval()
    right = []
    with torch.inference_mode():
        for part in batches(test):
            if part.label is not None:
                known = (part.label >= 0).cpu()
                answer = model.classify(part.to(judge.device)).argmax(1).cpu()
                right.append((answer == part.label.cpu())[known].double())
    return np.asarray(torch.cat(right).numpy()) if right else np.zeros(0)
