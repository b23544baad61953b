"""Intervals of what several trainings get right: simulated items, trainings and groups."""

from __future__ import annotations

import numpy as np
import pytest

from genfoundry.evaluation.metrics.classification_accuracy_score import mean_over_trainings


def simulated(rng: np.random.Generator, items: int, deviation: float, groups: int | None) -> np.ndarray:
    """(items, 3) hits: the chance of one has a part of its item (or of its group) and one of its training; mean 0.7."""
    units = rng.normal(0, 0.1, groups or items)
    of_item = np.repeat(units, -(-items // len(units)))[:items]
    chance = 0.7 + of_item[:, None] + rng.normal(0, deviation, 3)
    return (rng.random((items, 3)) < chance).astype(np.float64)


@pytest.mark.parametrize(("deviation", "groups"), [(0.0, None), (0.01, None), (0.03, None), (0.01, 12)])
def test_a_95_percent_interval_holds_what_a_new_training_on_new_items_would_give(
    deviation: float, groups: int | None
) -> None:
    rng, held = np.random.default_rng(0), 0
    group = None if groups is None else np.repeat(np.arange(groups), 50)
    for _ in range(600):
        found = mean_over_trainings(simulated(rng, 600, deviation, groups), group)
        assert found.low <= found.value <= found.high
        held += found.low <= 0.7 <= found.high
    assert held / 600 >= 0.935  # two parts are added that overlap: it may hold a little more


def test_an_interval_over_items_alone_would_not_hold() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        hits = simulated(rng, 5000, 0.0076, None).mean(1)
        held += abs(hits.mean() - 0.7) <= 1.96 * hits.std(ddof=1) / len(hits) ** 0.5
    assert held / 400 < 0.9


def test_one_training_or_one_group_has_no_interval() -> None:
    hits = np.random.default_rng(0).integers(0, 2, (40, 3)).astype(np.float64)
    assert not mean_over_trainings(hits[:, :1]).has_interval
    assert not mean_over_trainings(hits, np.zeros(40, np.int64)).has_interval
    found = mean_over_trainings(hits)
    assert (found.value, found.n, found.groups) == (hits.mean(), 40, 40)
    assert mean_over_trainings(np.ones((5, 3))).low == mean_over_trainings(np.ones((5, 3))).high == 1
