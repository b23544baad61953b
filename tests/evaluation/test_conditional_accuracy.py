"""Class-conditional samples are judged by the class that was asked for, beside real items."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import toys
from torch import Tensor

from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.metrics import conditional_accuracy
from genfoundry.evaluation.predict import predict, score
from genfoundry.models.base import GenerativeModel, Hyper, Learner
from genfoundry.types import Batch, Draw

(METRIC,) = conditional_accuracy.METRICS
SAMPLES = 240


class Asked(GenerativeModel):
    """Draws the class that is asked for, but the next one for every sample in `wrong`."""

    wrong = 4
    likelihood = "none"

    @property
    def conditional(self) -> bool:
        return True

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        assert label is not None
        x, index = torch.zeros(n, 1, 8, 8, dtype=torch.long), torch.arange(n)
        x[index, 0, (label + (index % self.wrong == 0).long()) % 3] = 16
        return x


class Hasty(toys.Reads):
    """A judge that takes all items with an even sum of grey values for class 0."""

    def classify(self, batch: Batch) -> Tensor:
        even = (batch.x.sum((1, 2, 3)) % 2 == 0)[:, None].float()
        return super().classify(batch) + 100 * even * torch.tensor([1.0, 0, 0])


def measure(model: Learner, judge: Learner | None) -> dict[str, float]:
    context = toys.context(judge, samples=SAMPLES)
    return aggregate(score(predict(model, context, [METRIC]), context, [METRIC]), 64, "images")


def test_it_is_the_share_of_samples_that_are_as_asked() -> None:
    found = measure(Asked(toys.SPEC, Hyper()), toys.Reads(toys.SPEC, Hyper()))
    parts = torch.split(torch.zeros(min(SAMPLES, sum(toys.SPEC.class_counts))), 10_000)  # one batch
    wrong = sum(math.ceil(len(part) / Asked.wrong) for part in parts)
    assert found["conditional_accuracy"] == pytest.approx(1 - wrong / found["conditional_accuracy_n"])
    assert found["conditional_accuracy_low"] < found["conditional_accuracy"] < found["conditional_accuracy_high"]


def test_the_reference_is_the_judge_on_real_items() -> None:
    model, context = Asked(toys.SPEC, Hyper()), toys.context(Hasty(toys.SPEC, Hyper()), samples=SAMPLES)
    outputs = predict(model, context, [METRIC])
    ((name, hits),) = conditional_accuracy.score_real_items(outputs, context).items()
    x, label = toys.images(300, 1)  # the items of `toys.context`
    mistaken = (x.sum((1, 2, 3)) % 2 == 0) & (label != 0)
    assert name == "real items" and 0.5 < hits["asked_hits"].mean() < 0.8
    assert hits["asked_hits"].mean() == pytest.approx(1 - mistaken.double().mean().item())


def test_a_row_of_real_items_in_the_table_is_judged_by_its_labels() -> None:
    context = toys.context(toys.Reads(toys.SPEC, Hyper()))
    x, label = toys.images(30, 5)
    label[:6], label[6:12] = -1, (label[6:12] + 1) % 3  # six without a label, six with a wrong one
    outputs: Any = {"samples": x, "sample_labels": label}
    assert score(outputs, context, [METRIC])["asked_hits"].tolist() == [0.0] * 6 + [1.0] * 18


def test_without_classes_there_is_none() -> None:
    unconditional = type("Plain", (Asked,), {"conditional": False})
    assert measure(unconditional(toys.SPEC, Hyper()), toys.Reads(toys.SPEC, Hyper())) == {}
    assert measure(Asked(toys.SPEC, Hyper()), None) == {}
    rotations = type("Rotations", (toys.Reads,), {"kind": "rotations"})
    assert measure(Asked(toys.SPEC, Hyper()), rotations(replace(toys.SPEC, classes=4), Hyper())) == {}
