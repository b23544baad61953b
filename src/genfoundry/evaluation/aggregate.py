"""Scores of items -> metrics with their intervals; and by how much one model is better than another."""

from __future__ import annotations

import math

import numpy as np

from genfoundry.errors import UserError
from genfoundry.evaluation.bootstrap import (
    Estimate,
    estimate_from_draws,
    estimate_mean,
    estimate_sum_of_means,
    group_shares,
    resample_counts,
)
from genfoundry.evaluation.distance_intervals import distance_difference, distance_estimate
from genfoundry.evaluation.metric import ClassStatistic, Distance, Metric
from genfoundry.evaluation.metrics import all_metrics, metrics_of
from genfoundry.evaluation.objectives import find_objective
from genfoundry.evaluation.scores import GROUP, Ids, Scores, group_ids


def aggregate(scores: Scores, dims: int, modality: str, *, on_test: bool = True) -> dict[str, float]:
    """Compute every metric that the scores allow, and the mean of every score that no metric is computed from.

    Args:
        scores: name -> (n, ...), a row an item, with the groups of the items beside them.
        dims: the number of values in an item.
        modality: the kind of data.
        on_test: compute metrics that are measured on `test` alone too, and state 95% intervals.

    Returns:
        Beside each metric `<name>_n` items in `<name>_groups` independent groups, which its interval is over; of an
        objective the standard error, `<name>_stderr`; on test the interval, `<name>_low` and `<name>_high` (of
        precision, recall, density, coverage and 1-NN at fixed neighbourhoods). A metric that is not finite is left out:
        a model that diverged has none.
    """
    metrics = [m for m in metrics_of(modality) if (on_test or not m.test_only) and all(i in scores for i in m.inputs)]
    estimates: dict[str, Estimate] = {}
    for metric in metrics:
        items = metric.items(scores, dims)
        if items is not None:
            estimates[metric.name] = estimate_mean(items, group_ids(scores, metric.inputs[0]))
    # Metrics may share a function, which then runs once
    for call in dict.fromkeys(m.statistics for m in metrics if m.statistics is not None):
        estimates |= {name: _estimate(statistic) for name, statistic in call(scores, dims).items()}
    # What a model measures beyond all metrics is reported as means
    used = {name for m in all_metrics().values() for name in (*m.inputs, *m.optional)}
    others = [name for name in scores if name not in used and not name.endswith(GROUP)]
    estimates |= {name: estimate_mean(scores[name], group_ids(scores, name)) for name in others}
    flat: dict[str, float] = {}
    for name, estimate in estimates.items():
        if math.isfinite(estimate.value):  # a diverged model has none
            flat |= {name: estimate.value, f"{name}_n": estimate.n, f"{name}_groups": estimate.groups}
            if name in all_metrics() and all_metrics()[name].objective and math.isfinite(estimate.stderr):
                flat[f"{name}_stderr"] = estimate.stderr
            if on_test and estimate.has_interval:
                flat |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return flat


def estimate_metric(metric: Metric, scores: Scores, dims: int) -> Estimate:
    """Estimate a metric, with its standard error and 95% interval over independent groups.

    Raises:
        UserError: what it is computed from was not measured.
    """
    items = metric.items(scores, dims)
    if items is not None:
        return estimate_mean(items, group_ids(scores, metric.inputs[0]))
    assert metric.statistics is not None
    return _estimate(metric.statistics(scores, dims)[metric.name])


def estimate_objectives(scores: Scores, dims: int, modality: str) -> dict[str, Estimate]:
    """Estimate every objective that can be computed from the scores, by name."""
    metrics = [m for m in metrics_of(modality) if m.objective and all(name in scores for name in m.inputs)]
    return {metric.name: estimate_metric(metric, scores, dims) for metric in metrics}


def _estimate(statistic: Estimate | Distance | ClassStatistic) -> Estimate:
    if isinstance(statistic, ClassStatistic):
        return _estimate_classes(statistic)
    return distance_estimate(statistic) if isinstance(statistic, Distance) else statistic


def _estimate_classes(statistic: ClassStatistic) -> Estimate:
    """The interval of a bootstrap of the items, of which each is a group of its own."""
    n, value = int(statistic.counts.sum()), statistic.value
    if not math.isfinite(value):
        return Estimate(value, n, n)
    drawn = statistic.statistic(resample_counts(statistic.name, statistic.counts, unseen=statistic.unseen))
    estimate = estimate_from_draws(value, drawn, n, group_shares(None, n))
    return estimate.within(statistic.least, statistic.most)


def improvement(candidate: Scores, incumbent: Scores, objective: Metric | str, dims: int) -> Estimate:
    """Estimate by how much the candidate is better (positive: better), with a 95% interval over independent groups.

    Per-item scores are compared in pairs. For a distance of samples both are held against the same real items, and each
    model has its own generated ones. The interval is unknown where all items are of one group.

    Raises:
        UserError: the two were not measured on the same items.
    """
    metric = find_objective(objective) if isinstance(objective, str) else objective
    ours, theirs = metric.items(candidate, dims), metric.items(incumbent, dims)
    if ours is None or theirs is None:
        assert metric.statistics is not None
        statistics = [metric.statistics(scores, dims)[metric.name] for scores in (candidate, incumbent)]
        if isinstance(statistics[0], ClassStatistic) and isinstance(statistics[1], ClassStatistic):
            return _gain_of_classes(metric, statistics[0], statistics[1])
        return _distance_gain(metric, candidate, incumbent, dims)
    if len(ours) != len(theirs):
        raise UserError(
            f"{metric.name}: expected scores of the same items, got {len(ours)} scores, the incumbent {len(theirs)}"
        )
    gaps = (theirs - ours) * (1.0 if metric.direction == "minimize" else -1.0)  # (n,)
    return estimate_sum_of_means(float(gaps.mean()), (gaps, _common_ids(candidate, incumbent, metric.inputs[0])))


def _common_ids(candidate: Scores, incumbent: Scores, name: str) -> Ids | None:
    """The groups of the items that both were measured on; old code may have scored one of the two without."""
    ours, theirs = group_ids(candidate, name), group_ids(incumbent, name)
    if ours is not None and theirs is not None and not np.array_equal(ours, theirs):
        raise UserError(f"{name}{GROUP}: expected the incumbent's groups of items, got items of other groups")
    return theirs if ours is None else ours


def _gain_of_classes(metric: Metric, candidate: ClassStatistic, incumbent: ClassStatistic) -> Estimate:
    """The difference of two statistics of independent samples, whose bootstraps are independent too."""
    sizes = [int(of.counts.sum()) for of in (candidate, incumbent)]
    if sizes[0] != sizes[1]:
        raise UserError(f"{metric.name}: expected as many samples of both, got {sizes[0]}, the incumbent {sizes[1]}")
    sign = 1.0 if metric.direction == "maximize" else -1.0
    drawn = [
        of.statistic(resample_counts(f"{metric.name} {who}", of.counts, unseen=of.unseen))
        for who, of in (("candidate", candidate), ("incumbent", incumbent))
    ]
    gain, shares = sign * (candidate.value - incumbent.value), group_shares(None, sizes[0])
    return estimate_from_draws(gain, sign * (drawn[0] - drawn[1]), sizes[0], shares)


def _distance_gain(metric: Metric, candidate: Scores, incumbent: Scores, dims: int) -> Estimate:
    fake, real = metric.inputs
    shapes = [scores[name].shape for name in (fake, real) for scores in (candidate, incumbent)]
    # Rounding may differ between the versions of the code that scored the two
    if len(set(shapes)) > 1 or not np.allclose(candidate[real], incumbent[real], atol=1e-3):
        raise UserError(
            f"{metric.name}: expected the same real items for both, got {fake} {shapes[0]} and {shapes[1]} against "
            f"{real} {shapes[2]} and {shapes[3]}"
        )
    ids, gains = _common_ids(candidate, incumbent, real), []
    # Both against the same real items, so that these cancel in the difference
    for scores in (incumbent, candidate):
        paired = {fake: scores[fake], real: candidate[real], **({} if ids is None else {f"{real}{GROUP}": ids})}
        assert metric.statistics is not None
        distance = metric.statistics(paired, dims)[metric.name]
        assert isinstance(distance, Distance)
        gains.append(distance)
    return distance_difference(*gains)
