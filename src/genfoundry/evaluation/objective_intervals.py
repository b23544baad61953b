"""Objectives with their intervals, and who is better: pure numpy on the scores of `objectives`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from genfoundry.errors import UserError
from genfoundry.evaluation.bootstrap import Estimate, Ids, mean, sum_of_means
from genfoundry.evaluation.distances import frechet_distance
from genfoundry.evaluation.objectives import GROUP, Objective, Scores, features_of, ids_of
from genfoundry.evaluation.objectives import OBJECTIVES as OBJECTIVES
from genfoundry.evaluation.objectives import RESTORED as RESTORED
from genfoundry.evaluation.objectives import objectives as objectives


def estimate(objective: Objective, scores: Scores, dims: int) -> Estimate:
    """An objective with its standard error and interval over independent groups.

    Raises:
        UserError: what it is computed from was not measured.
    """
    if any(need not in scores for need in objective.needs):
        objective.value(scores, dims)  # says what is missing
    items = objective.per_item(scores, dims)
    if items is None:
        return frechet_distance(*features_of(scores), ids_of(scores, "real")).estimate()
    return mean(items, ids_of(scores, objective.needs[0]))


def figures(scores: Scores, dims: int, modality: str) -> dict[str, float]:
    """Every objective that the scores allow, and the mean of every other score.

    Beside each, `<name>_n` items in `<name>_groups` independent groups, and beside an objective its standard error over
    these, `<name>_stderr`. A figure that is not finite is left out: a model that diverged has none.
    """
    found = {o.name: estimate(o, scores, dims) for o in measured(scores, modality)}
    needed = {need for o in OBJECTIVES.values() for need in (*o.needs, o.cells)}
    others = [name for name in sorted(scores) if name not in needed and not name.endswith(GROUP)]
    found |= {name: mean(scores[name], ids_of(scores, name)) for name in others}
    return dict(flat(found))


def measured(scores: Scores, modality: str) -> Iterator[Objective]:
    """The objectives that the scores allow."""
    for o in OBJECTIVES.values():
        if modality in o.modalities and all(need in scores for need in o.needs):
            yield o


def flat(found: Mapping[str, Estimate], *, intervals: bool = False) -> Iterator[tuple[str, float]]:
    """The finite figures, each with its n, its groups, and where it is known its standard error and interval."""
    for name, one in found.items():
        if math.isfinite(one.value):
            yield from ((name, one.value), (f"{name}_n", one.n), (f"{name}_groups", one.groups))
            if name in OBJECTIVES and math.isfinite(one.stderr):
                yield f"{name}_stderr", one.stderr
            if intervals and one.known:
                yield from ((f"{name}_low", one.low), (f"{name}_high", one.high))


def improvement(candidate: Scores, incumbent: Scores, objective: Objective | str, dims: int) -> Estimate:
    """By how much the candidate is better (positive: better), with its 95% interval over independent groups.

    Per-item scores are compared in pairs. For the Frechet distance both are held against the same real items, and each
    model has its own generated ones. The interval is unknown where all items are of one group.

    Raises:
        UserError: the two were not measured on the same items.
    """
    o = OBJECTIVES[objective] if isinstance(objective, str) else objective
    ours, theirs = o.per_item(candidate, dims), o.per_item(incumbent, dims)
    if ours is None or theirs is None:
        return _frechet_gain(candidate, incumbent)
    if len(ours) != len(theirs):
        raise UserError(f"{o.name}: the candidate has {len(ours)} scores, the incumbent {len(theirs)}: not a pair")
    gaps = (theirs - ours) * (1.0 if o.direction == "minimize" else -1.0)
    return sum_of_means(float(gaps.mean()), (gaps, _common(candidate, incumbent, o.needs[0])))


def _common(candidate: Scores, incumbent: Scores, name: str) -> Ids | None:
    """The groups of the items that both were measured on; old code may have scored one of the two without."""
    ours, theirs = ids_of(candidate, name), ids_of(incumbent, name)
    if ours is not None and theirs is not None and not np.array_equal(ours, theirs):
        raise UserError(f"{name}{GROUP}: the candidate's items are of other groups than the incumbent's: not a pair")
    return theirs if ours is None else ours


def _frechet_gain(candidate: Scores, incumbent: Scores) -> Estimate:
    (a, real), (b, other) = features_of(candidate), features_of(incumbent)
    if real.shape != other.shape or a.shape != b.shape or not np.allclose(real, other, atol=1e-3):
        raise UserError(f"frechet: features {a.shape} and {b.shape} are not against the same {real.shape} real ones")
    ids = _common(candidate, incumbent, "real")
    return frechet_distance(b, real, ids).less(frechet_distance(a, real, ids))
