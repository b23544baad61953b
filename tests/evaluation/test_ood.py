"""Surprise by hand: a density that prefers simple images, and the correction that mends it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from genfoundry.data.splits.base import SplitOptions
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import EvalContext
from genfoundry.evaluation.metrics import ood
from genfoundry.evaluation.roc import compute_auroc
from genfoundry.evaluation.scores import Scores
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.types import Batch, Spec

SPEC = Spec((1, 32, 32), 17)


def walks(n: int, seed: int) -> Tensor:
    """Rows are random walks: every step but one in three moves a level."""
    draw = torch.Generator().manual_seed(seed)
    steps = torch.randint(-1, 2, (n, 1, 32, 32), generator=draw)
    steps[..., 0] += torch.randint(17, (n, 1, 32), generator=draw)
    return steps.cumsum(3).clamp(0, 16)


class Smooth(GenerativeModel):
    """A density of a step along a row: 0.5 to stay, 0.2 each to move by one, the rest for all others."""

    likelihood = "exact"

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        steps = batch.x.diff(dim=-1).abs().clamp_max(2)
        cost = -torch.tensor([0.5, 0.2, 0.1 / 30]).log()
        return {"nll": cost[steps].flatten(1).sum(1) + 32 * math.log(17)}


def setting(spec: Spec, x: Tensor, label: Tensor | None = None, **more: Any) -> EvalContext:
    split = toys.split("test", x, torch.full((len(x),), -1) if label is None else label, spec)
    return EvalContext(**{"dataset": toys.Data(test=split), "train": split, "split": split, **more})


def surprise(model: GenerativeModel, context: EvalContext, x: Tensor) -> Scores:
    outputs = {"nll": model.measure(Batch(x))["nll"].double(), **ood.measure_others(model, context)}
    return ood.score_ood(outputs, context)


def test_a_raw_likelihood_prefers_simple_images_and_the_corrected_one_does_not() -> None:
    model = Smooth(SPEC, Hyper())
    scores = surprise(model, setting(SPEC, walks(80, 0)), walks(80, 0))
    found = aggregate(scores, SPEC.dims, "images")
    assert found["auroc_constant"] < 0.01  # the known failure
    assert found["auroc_constant_corrected"] > 0.99
    assert found["auroc_shuffled"] > 0.99
    assert set(found) >= {f"auroc_{name}{suffix}" for name in ("smooth", "digits") for suffix in ("", "_corrected")}
    assert not [name for name in found if name.startswith("surprise")]


def test_the_area_is_sklearn_s() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(0, 20, 300).astype(float), rng.integers(5, 25, 200).astype(float)  # with many ties
    theirs[:3] = np.inf
    found = compute_auroc((ours, None), (theirs, None))
    truth = np.r_[np.zeros(300), np.ones(200)]
    assert found.value == pytest.approx(roc_auc_score(truth, np.minimum(np.r_[ours, theirs], 1e9)))
    draws = [compute_auroc((rng.choice(ours, 300), None), (rng.choice(theirs, 200), None)).value for _ in range(400)]
    assert found.stderr == pytest.approx(np.std(draws), rel=0.1)
    assert compute_auroc((ours, None), (ours + 100, None)).value == 1


def test_others_have_the_shape_and_levels_of_the_items() -> None:
    x = walks(50, 0)
    seen = setting(SPEC, x)
    made = {
        name: torch.cat([b.eval_batch(torch.arange(len(b))).x]) for name, b in ood.make_others(seen, torch.arange(50))
    }
    assert set(made) == {"shuffled", "constant", "smooth", "digits"}
    for other in made.values():
        assert other.shape == (50, 1, 32, 32) and other.dtype == torch.int64
        assert other.min() >= 0 and other.max() <= 16
    torch.testing.assert_close(made["shuffled"].flatten(1).sort(1).values, x.flatten(1).sort(1).values)
    assert not torch.equal(made["shuffled"], x)
    assert all(len(image.unique()) == 1 for image in made["constant"])
    assert made["digits"].float().std(0).mean() > 1


def test_two_levels_stay_two() -> None:
    grey = toys.split("test", walks(20, 0), torch.full((20,), -1), SPEC)
    two = type(grey)("test", {"x": grey.tensor, "label": grey.label}, SPEC, SplitOptions(2, "threshold"))
    seen = EvalContext(dataset=toys.Data(test=grey), train=two, split=two, binarise="threshold")  # type: ignore[arg-type]
    for _, other in ood.make_others(seen, torch.arange(20)):
        assert set(other.eval_batch(torch.arange(20)).x.unique().tolist()) <= {0, 1}


def test_classes_left_out_are_among_others_and_not_among_the_items() -> None:
    x = walks(60, 0)
    x[20:40] = 0  # class 1: likelier than any walk
    context = setting(Spec((1, 32, 32), 17, classes=3), x, torch.arange(60) // 20, without=(1,))
    scores = surprise(Smooth(SPEC, Hyper()), context, x)
    assert len(scores["surprise_test"]) == 40
    assert len(scores["surprise_classes"]) == 20
    found = aggregate(scores, SPEC.dims, "images")
    assert found["auroc_classes"] == 0
    assert found["auroc_classes_corrected"] > 0.99


def test_digits_are_no_anomaly_among_digits() -> None:
    x = ood.read_digits()[:100].long()
    names = [name for name, _ in ood.make_others(setting(Spec((1, 8, 8), 17), x), torch.arange(100))]
    assert "digits" not in names and "smooth" in names
