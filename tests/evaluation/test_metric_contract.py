"""What every metric of the registry promises, on scores made by hand: value, interval, direction, order, items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import toys

from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.metric import GROUPS, Metric
from genfoundry.evaluation.metrics import all_metrics, file_of
from genfoundry.models import abilities
from genfoundry.models.base import GenerativeModel, Hyper, Learner

N, DIMS = 40, 4
METRICS = list(all_metrics().values())
BASE = np.random.default_rng(0).normal(size=N)  # of every score below, so that a better one is made by a shift
HITS = (np.arange(N) % 4 > 0).astype(float)


def counts_of_grams(right: float) -> np.ndarray:
    """Of each of six orders: as many grams in translation and target, of which a share is in both."""
    both = np.where(np.arange(N) % 5 > 0, right, right / 2) * 10
    return np.stack([np.full(N, 10.0), np.full(N, 10.0), both], 1)[:, None].repeat(6, 1).reshape(N, 18)


def counts_of_words(right: float) -> np.ndarray:
    """Lengths, then grams in both and in the translation, of four orders."""
    both = np.where(np.arange(N) % 5 > 0, right, right / 2) * 10
    lengths = np.full((N, 2), 10.0)
    return np.concatenate([lengths, both[:, None].repeat(4, 1), np.full((N, 4), 10.0)], 1)


def features(shift: float, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(N, 3)) * scale + shift


FEATURES = {"real": np.random.default_rng(2).normal(size=(N, 3))}
# Score -> (good, bad) -> (n, ...): metrics that need no shift of their own have one of these.
CASES: dict[str, Callable[[bool], np.ndarray]] = {
    "chrf_counts": lambda good: counts_of_grams(0.9 if good else 0.4),
    "bleu_counts": lambda good: counts_of_words(0.9 if good else 0.4),
    "features": lambda good: features(0.0) if good else features(3.0),
    "real": lambda good: FEATURES["real"],
    "features_few": lambda good: features(0.0) if good else features(3.0),
    "real_few": lambda good: FEATURES["real"],
    "near": lambda good: np.abs(BASE) + (1.0 if good else 4.0),
    "near_real": lambda good: np.abs(BASE[::-1]) + 1.0,
    "bound_gap": lambda good: np.abs(BASE) + (5.0 if good else 1.0),
    "codes": lambda good: features(0.0, 1.0 if good else 0.01),
    "edit_away": lambda good: np.full(N, 10.0),
    "edit_moved": lambda good: np.abs(BASE) + (1.0 if good else 6.0),
    "surprise_test": lambda good: BASE,
    "surprise_test_corrected": lambda good: BASE,
    "class_hits": lambda good: np.stack([HITS if good else 1 - HITS] * 3, 1) * (np.abs(features(0.0)) < 2),
    "class_hits_real": lambda good: np.stack([HITS] * 3, 1),
    # of each item its class, the share of that class, the number of classes
    "sample_classes": lambda good: np.stack([np.arange(N) % (N if good else 2), np.full(N, 1 / N), np.full(N, N)], 1),
}
SHARES = ("copies", "hits", "asked_hits", "exact_lines", "probe_accuracy", "edit_flips")


def score_of(metric: Metric, name: str, good: bool) -> np.ndarray:
    """A score by hand from which the metric is better if `good`."""
    if name in CASES:
        return CASES[name](good)
    if name.startswith("use_"):
        return np.eye(8)[np.arange(N) % (8 if good else 2)]
    if name.startswith("surprise_"):
        return BASE[::-1] + (3.0 if good else -3.0)
    if name.startswith("rolling_"):
        return np.abs(np.stack([BASE, BASE, BASE], 1)) + (1.0 if good else 5.0)
    if name.startswith("real_"):  # what generated items are held against
        return np.abs(BASE) + 10.0
    if name in SHARES:
        return HITS if good == (metric.direction == "maximize") else 1 - HITS
    if name == "covered":
        return np.where(HITS > 0, 0.95, 0.85) if good else np.where(HITS > 0, 0.4, 0.3)
    better_above = metric.direction == "maximize"
    return np.abs(BASE) + (20.0 if good == better_above else 10.0)


def scores_of(metric: Metric, good: bool = True) -> dict[str, Any]:
    return {name: score_of(metric, name, good) for name in metric.inputs}


def measure(metric: Metric, scores: dict[str, Any]) -> dict[str, float]:
    return aggregate(scores, DIMS, metric.modalities[0])


def of_metric(test: Callable[[Metric], None]) -> Any:
    return pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)(test)


@of_metric
def test_its_metadata_are_complete(metric: Metric) -> None:
    assert metric.group in GROUPS and metric.title and metric.description
    assert (metric.direction == "ideal") == (metric.ideal is not None)
    assert metric.inputs and metric.modalities and file_of(metric.name)
    assert not metric.objective or (metric.direction != "ideal" and metric.predict is not None and not metric.test_only)


@of_metric
def test_its_value_lies_in_its_interval_and_states_its_items(metric: Metric) -> None:
    found, name = measure(metric, scores_of(metric)), metric.name
    assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    assert found[f"{name}_n"] in (N, 2 * N) and 0 < found[f"{name}_groups"] <= N
    assert found[name] == pytest.approx(metric.value(scores_of(metric), DIMS), rel=1e-6)


@of_metric
def test_a_mean_of_items_is_their_mean(metric: Metric) -> None:
    items = metric.items(scores_of(metric), DIMS)
    if items is not None:
        assert items.shape == (N,)
        assert measure(metric, scores_of(metric))[metric.name] == pytest.approx(items.mean())


@of_metric
def test_better_scores_are_better_by_its_direction(metric: Metric) -> None:
    good, bad = (measure(metric, scores_of(metric, good))[metric.name] for good in (True, False))
    assert metric.sort_key(good) < metric.sort_key(bad)


@of_metric
def test_the_order_of_items_does_not_matter(metric: Metric) -> None:
    if metric.name.startswith("rolling_"):
        pytest.skip("origins follow each other: neighbours share values")
    scores, order = scores_of(metric), np.random.default_rng(3).permutation(N)
    shuffled = {name: values[order] for name, values in scores.items()}
    assert measure(metric, shuffled)[metric.name] == pytest.approx(measure(metric, scores)[metric.name], rel=1e-9)


@of_metric
def test_an_item_left_out_is_not_counted(metric: Metric) -> None:
    scores = scores_of(metric)
    fewer = {name: values[1:] for name, values in scores.items()}
    name = f"{metric.name}_n"
    assert measure(metric, fewer)[name] < measure(metric, scores)[name]


@of_metric
def test_it_says_why_it_is_absent_and_names_abilities_that_there_are(metric: Metric) -> None:
    for model in (Learner(toys.SPEC, Hyper()), GenerativeModel(toys.SPEC, Hyper())):
        reason = metric.requires.why_absent(model, None)
        assert reason and reason[0].islower() and not reason.endswith(".")
    assert metric.requires.label and metric.requires.reference
    named = {"likelihood", "GenerativeModel", "judge", "labels"}
    assert all(name in named or hasattr(abilities, name) for name in metric.requires.abilities)


@of_metric
def test_it_is_absent_where_nothing_was_measured(metric: Metric) -> None:
    assert metric.name not in measure(metric, {})
    assert metric.score({}, toys.context()) == {}
    for call in (metric.beside, metric.plots):
        assert call is None or call({}, toys.context()) == {}
