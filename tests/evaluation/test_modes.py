"""Modes reached and the reverse divergence: counts by hand, their intervals, and the samples that they are of."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from genfoundry.data.splits.images import ImageSplit
from genfoundry.evaluation.aggregate import aggregate, improvement
from genfoundry.evaluation.baselines.base import BaselineInputs
from genfoundry.evaluation.baselines.images import fit_anchors
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.metrics.modes import METRICS, compute_modes, score_modes
from genfoundry.evaluation.mode_draws import count_draws
from genfoundry.evaluation.predict import predict, score
from genfoundry.models.base import GenerativeModel, Hyper, Learner
from genfoundry.types import Batch, Spec

WIDE = Spec((1, 2, 2), 256, classes=200, class_counts=(2,) * 200)


class FirstPixel(Learner):
    """A judge to which the first pixel is the class."""

    kind = "classes"

    def classify(self, batch: Batch) -> Tensor:
        return torch.nn.functional.one_hot(batch.x[:, 0, 0, 0], self.spec.classes).float()


class SomeClasses(GenerativeModel):
    """Draws each of the first `reached` classes as often as the others."""

    reached = 200

    def sample(self, n: int, cond: object = None, label: object = None, draw: object = None) -> Tensor:
        return torch.randint(self.reached, (n, 1, 1, 1)).expand(-1, 1, 2, 2)


def scores(classes: np.ndarray, shares: np.ndarray) -> dict[str, np.ndarray]:
    return {"sample_classes": np.stack([classes, shares[classes], np.full(len(classes), len(shares))], 1)}


def wide(name: str, seed: int, n: int = 100) -> ImageSplit:
    label = torch.randint(200, (n,), generator=torch.Generator().manual_seed(seed))
    return ImageSplit(name, {"x": label.view(-1, 1, 1, 1).expand(-1, 1, 2, 2).to(torch.uint8), "label": label}, WIDE)


def test_counts_and_divergence_by_hand() -> None:
    found = aggregate(scores(np.array([0, 0, 0, 2]), np.array([0.5, 0.25, 0.25])), 4, "images")
    assert found["modes"] == 2 and found["modes_n"] == 4
    assert found["reverse_kl"] == pytest.approx(0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(1))
    same = compute_modes(scores(np.repeat([0, 1], [30, 10]), np.array([0.75, 0.25])), 4)
    assert same["reverse_kl"].value == pytest.approx(0, abs=1e-12)


def test_a_class_that_was_left_out_of_training_has_no_finite_divergence() -> None:
    found = aggregate(scores(np.array([0, 1, 1]), np.array([1.0, 0.0])), 4, "images")
    assert found["modes"] == 2 and "reverse_kl" not in found


def test_their_intervals_hold() -> None:
    """The divergence's of its expectation at this n, and that of the modes the expected number."""
    rng, shares = np.random.default_rng(0), np.full(40, 1 / 40)
    p = rng.dirichlet(np.full(40, 0.3))
    drawn = [aggregate(scores(rng.choice(40, 300, p=p), shares), 4, "images") for _ in range(200)]
    for name in ("modes", "reverse_kl"):
        true = np.mean([found[name] for found in drawn])
        held = np.mean([found[f"{name}_low"] <= true <= found[f"{name}_high"] for found in drawn])
        assert held >= 0.9
    assert all(found["modes_high"] <= 40 and found["reverse_kl_low"] >= 0 for found in drawn)


def test_more_modes_are_an_improvement() -> None:
    rng, shares = np.random.default_rng(0), np.full(40, 1 / 40)
    many, few = (scores(rng.integers(k, size=400), shares) for k in (40, 30))
    gain = improvement(many, few, "modes", 4)
    assert gain.value == 10 and 5 < gain.low <= 10 <= gain.high and gain.n == 400
    assert improvement(few, many, "modes", 4).high < 0


def test_many_classes_have_samples_of_their_own() -> None:
    assert count_draws(WIDE, 64) == 64 * 52 and count_draws(WIDE, 500) == 200 * 26 and count_draws(toys.SPEC, 64) == 64
    split, judge = wide("val", 0), FirstPixel(WIDE, Hyper())
    model = SomeClasses(WIDE, Hyper())
    context = SplitContext(split=split, judge=judge, samples=80)
    outputs = predict(model, context, METRICS)
    assert outputs.keys() == {"mode_samples"} and len(outputs["mode_samples"]) == 80 * 52
    assert aggregate(score(outputs, context, METRICS), 4, "images")["modes"] == 200
    model.reached = 7
    assert aggregate(score(predict(model, context, METRICS), context, METRICS), 4, "images")["modes"] == 7


def test_reference_rows_have_as_many() -> None:
    splits = {name: wide(name, seed) for seed, name in enumerate(("val", "gate", "test"))}
    rows = fit_anchors(BaselineInputs(wide("train", 9), splits, dict.fromkeys(splits, 80)))
    context = SplitContext(split=splits["test"], judge=FirstPixel(WIDE, Hyper()), samples=80)
    found = {row.name: aggregate(score(row.predict(splits["test"]), context, METRICS), 4, "images") for row in rows}
    assert {row["modes_n"] for row in found.values()} == {80 * 52}
    others = torch.cat([splits["val"].label, splits["gate"].label])
    assert found["real-against-real"]["modes"] == len(others.unique())
    assert found["pixel-means"]["modes"] == 1


def test_few_classes_share_the_samples_of_other_metrics() -> None:
    context = toys.context(toys.Reads(toys.SPEC, Hyper()))
    drawn: list[int] = []

    class Draws(GenerativeModel):
        def sample(self, n: int, cond: object = None, label: object = None, draw: object = None) -> Tensor:
            drawn.append(n)
            return toys.images(n, 5)[0]

    found = score(predict(Draws(toys.SPEC, Hyper()), context), context)
    assert drawn == [20] and np.bincount(found["sample_classes"][:, 0].astype(int)).tolist() == [7, 7, 6]
    predict(Draws(toys.SPEC, Hyper()), context)
    assert drawn == [20, 20]  # another model


def test_without_labels_or_a_judge_of_classes_there_are_none() -> None:
    outputs, judge = {"samples": toys.images(9, 0)[0]}, toys.Reads(toys.SPEC, Hyper())
    assert score_modes(outputs, toys.context()) == {}
    judge.kind = "rotations"
    assert score_modes(outputs, toys.context(judge)) == {}
    nameless = toys.split("test", *toys.images(9, 0), spec=replace(toys.SPEC, classes=0, class_counts=()))
    assert score_modes(outputs, toys.context(toys.Reads(toys.SPEC, Hyper()), split=nameless)) == {}
