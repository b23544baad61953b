"""Fréchet distance of samples and real items in a judge's features; samples, and their features, for other metrics too.

The squared distance of Gaussians fitted to two samples of features (n, F), |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))
(Heusel et al. 2017, arXiv:1706.08500, eq. 6), by eigenvalues of symmetric matrices, in float64. It is biased upward by
about 1/n, so compare values of the same n only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.errors import UserError
from genfoundry.evaluation.metric import Distance, Metric, Requirement
from genfoundry.evaluation.scores import Array, Ids, Outputs, Scores, add_groups, with_ids
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import EvalContext, SplitContext

CONTROL = "_control"  # what a metric in the features of a network with random weights is called after
TINY = 1e-12  # of the largest eigenvalue: below it an eigenvalue is none


def draw_samples(model: Any, context: SplitContext) -> Outputs:
    """ "samples" (min(n, N), C, H, W) of images; drawn once for all metrics of a model."""
    return context.once_a_model(model, "samples", lambda: _draw_samples(model, context))


def _draw_samples(model: Any, context: SplitContext) -> Outputs:
    import torch

    from genfoundry.data.iterate import EVAL_BATCH

    split = context.split
    if len(split.spec.shape) != 3:
        return {}
    parts = []
    for i, part in enumerate(torch.split(torch.arange(min(context.samples, len(split))), EVAL_BATCH)):
        torch.manual_seed(derive_seed(context.seed, split.name, "sample", i))
        parts.append(model.sample(len(part)).cpu())
    # A byte a value instead of eight
    small = split.spec.levels is not None and split.spec.levels <= 256
    return {"samples": torch.cat([x.to(torch.uint8) if small else x for x in parts])}


def score_features(outputs: Outputs, context: SplitContext) -> Scores:
    """ "features" of n samples and "real" of n items of the split (n, F), where there is a judge."""
    return _score_in(context.judge, "judge", "", outputs, context)


def score_control_features(outputs: Outputs, context: EvalContext) -> Scores:
    """Return "features_control" and "real_control": the same in the features of the judge with random weights."""
    return _score_in(context.control, "control", CONTROL, outputs, context)


def _score_in(judge: Any, network: str, suffix: str, outputs: Outputs, context: SplitContext) -> Scores:
    from genfoundry.data.iterate import sample_indices, sample_items
    from genfoundry.evaluation.judge import Judges, compute_features

    split = context.split
    if not isinstance(judge, Judges) or "samples" not in outputs or len(split.spec.shape) != 3:
        return {}
    n = len(outputs["samples"])
    real = context.real if network == "judge" else None
    if real is None or len(real) != n:
        compute = lambda: {"real": compute_features(judge, sample_items(split, n), split.spec.levels)}  # noqa: E731
        real = np.asarray(context.cached(f"real {split.name} {n} {network}", compute)["real"], np.float32)
    fake = compute_features(judge, outputs["samples"], split.spec.levels)
    return {f"features{suffix}": fake} | add_groups({f"real{suffix}": real}, split, sample_indices(split, n))


def read_features(scores: Scores, suffix: str = "") -> tuple[Array, Array, Ids | None]:
    """Features of samples and of real items (n, F), and the groups of the real items.

    Raises:
        UserError: there are not as many samples as real items, or features of another number.
    """
    fake, (real, ids) = np.asarray(scores[f"features{suffix}"], np.float64), with_ids(scores, f"real{suffix}")
    if fake.shape != real.shape:
        raise UserError(f"frechet: {fake.shape} generated against {real.shape} real features; use the same n and judge")
    return fake, real, ids


def compute_frechet(scores: Scores, dims: int) -> dict[str, Distance]:
    """ "frechet", and "frechet_control" where there are features of the control network."""
    suffixes = ("", CONTROL) if f"features{CONTROL}" in scores else ("",)
    return {f"frechet{suffix}": frechet_distance(*read_features(scores, suffix)) for suffix in suffixes}


def frechet_distance(fake: Array, real: Array, ids: Ids | None = None) -> Distance:
    """The squared Fréchet distance with the influence of every item; NaN if a feature is not finite.

    The gradient by S1 is I - T with T = S1^(-1/2) (S1^(1/2) S2 S1^(1/2))^(1/2) S1^(-1/2), the optimal transport from
    one Gaussian to the other (Olkin and Pukelsheim 1982), that by S2 is I - T^(-1).

    Raises:
        UserError: a sample is no matrix of two items at least.
    """
    fake, real = (_check_features(x) for x in (fake, real))
    if not (np.isfinite(fake).all() and np.isfinite(real).all()):
        return Distance(math.nan, math.nan, math.nan, np.zeros(len(fake)), np.zeros(len(real)), ids)
    gap, x, y = fake.mean(0) - real.mean(0), fake - fake.mean(0), real - real.mean(0)
    cov_fake, cov_real = x.T @ x / (len(x) - 1), y.T @ y / (len(y) - 1)  # (F, F)
    root, inverse = _roots(cov_fake)  # S1^(1/2), S1^(-1/2)
    cross, uncross = _roots(root @ cov_real @ root)  # of S1^(1/2) S2 S1^(1/2)
    # Rounding may make the distance of equal samples negative
    value = max(float(gap @ gap + np.trace(cov_fake) + np.trace(cov_real) - 2 * np.trace(cross)), 0.0)
    to_real, to_fake = inverse @ cross @ inverse, root @ uncross @ root  # T, T^(-1)
    of_fake = 2 * x @ gap + (x * (x - x @ to_real)).sum(1)  # (n,)
    of_real = -2 * y @ gap + (y * (y - y @ to_fake)).sum(1)  # (m,)
    bias = _frechet_bias(x, y, (cov_fake + cov_real) / 2, ids)
    return Distance(value, value, bias, of_fake, of_real, ids)


def _check_features(features: Array) -> Array:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise UserError(f"features: expected shape (n >= 2, features), as a covariance needs, got {features.shape}")
    return features


def _roots(matrix: Array) -> tuple[Array, Array]:
    """The square root of a symmetric positive semidefinite matrix (F, F), and the root's pseudo-inverse."""
    values, vectors = np.linalg.eigh(matrix)
    root = np.sqrt(values.clip(0))
    inverse = np.where(values > TINY * values[-1], 1 / np.where(root > 0, root, 1.0), 0.0)
    return vectors * root @ vectors.T, vectors * inverse @ vectors.T


def _frechet_bias(x: Array, y: Array, covariance: Array, ids: Ids | None) -> float:
    """The expected distance of two samples of these sizes from one distribution.

    To second order it is |d|^2 + sum of D_ij^2 / (2 (l_i + l_j)) of the differences d of means and D of covariances,
    in the eigenbasis of the common covariance, whose eigenvalues are l: the expectation follows from their variances.
    """
    values, vectors = np.linalg.eigh(covariance)
    values = values.clip(max(TINY * values[-1], 1e-300))  # positive: they divide
    scale = 1 / (2 * (values[:, None] + values))
    return sum(_noise(part @ vectors, scale, groups) for part, groups in ((x, None), (y, ids)))


def _noise(x: Array, scale: Array, ids: Ids | None) -> float:
    """The variance of the mean of x (n, F), summed, and of the mean of its products, summed with `scale` (F, F)."""
    common = x.T @ x / len(x)
    if ids is None:
        squares = x * x
        return float((squares.mean(0).sum() + (scale * (squares.T @ squares / len(x) - common**2)).sum()) / len(x))
    total = 0.0
    for group in np.unique(ids):
        part = x[ids == group]
        share = len(part) / len(x)
        apart = part.T @ part / len(part) - common  # (F, F)
        # As in CR2; a single group would divide by 0
        total += share**2 / max(1 - share, share) * float((part.mean(0) ** 2).sum() + (scale * apart**2).sum())
    return total


def explain_missing_samples(model: Any, judge: Any) -> str:
    """Return the reason why a model has no metric of its samples' features, in words."""
    if not hasattr(model, "sample"):
        return "draws no samples"
    return "no judge" if judge is None else "not finite, or too few items"


SAMPLES = Requirement("samples", ("GenerativeModel", "judge"), explain_missing_samples, reference="no samples")
OF_FEATURES: dict[str, Any] = {  # what metrics of features have in common
    "requires": SAMPLES,
    "group": "samples",
    "inputs": ("features", "real"),
    "optional": (f"features{CONTROL}", f"real{CONTROL}"),
    "predict": draw_samples,
}
METRICS = (
    Metric(
        name="frechet",
        title="Frechet",
        unit="squared deviations of judge features",
        direction="minimize",
        description="squared Frechet distance of Gaussians fitted to the judge's features",
        objective=True,
        score=score_features,
        statistics=compute_frechet,
        **OF_FEATURES,
    ),
)
