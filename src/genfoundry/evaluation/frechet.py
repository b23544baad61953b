"""The squared Frechet distance of Gaussians fitted to two samples of features (n, F), and the transport between them.

|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Heusel 2017, eq. 6), by eigenvalues of symmetric matrices, in float64. It
is biased upward by about 1/n, so compare values of the same n only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genfoundry.errors import UserError

Array = NDArray[np.float64]
TINY = 1e-12  # of the largest eigenvalue: one that is none


@dataclass(frozen=True)
class Transport:
    """The distance of two samples, and what it is made of.

    `gap` (F,) is the difference of the means, `x` and `y` (n, F) the samples less theirs, `one` and `two` (F, F) the
    covariances, `there` and `back` the optimal transports between the two Gaussians (Olkin and Pukelsheim 1982).
    """

    value: float
    gap: Array
    x: Array
    y: Array
    one: Array
    two: Array
    there: Array
    back: Array


def frechet(fake: Array, real: Array) -> float:
    """The distance; NaN if a feature is.

    Raises:
        UserError: a sample is no matrix of two items at least.
    """
    found = transport(fake, real)
    return math.nan if found is None else found.value


def transport(fake: Array, real: Array) -> Transport | None:
    """The distance with its parts; None if a feature is not finite.

    Raises:
        UserError: a sample is no matrix of two items at least.
    """
    fake, real = (_checked(x) for x in (fake, real))
    if not (np.isfinite(fake).all() and np.isfinite(real).all()):
        return None
    gap, x, y = fake.mean(0) - real.mean(0), fake - fake.mean(0), real - real.mean(0)
    one, two = x.T @ x / (len(x) - 1), y.T @ y / (len(y) - 1)
    root, inverse = _roots(one)
    cross, uncross = _roots(root @ two @ root)
    there, back = inverse @ cross @ inverse, root @ uncross @ root
    value = max(float(gap @ gap + np.trace(one) + np.trace(two) - 2 * np.trace(cross)), 0.0)
    return Transport(value, gap, x, y, one, two, there, back)


def _checked(features: Array) -> Array:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise UserError(f"features: shape {features.shape}; a covariance needs (n >= 2, features)")
    return features


def _roots(matrix: Array) -> tuple[Array, Array]:
    """The root of a symmetric matrix, and the pseudo-inverse of that."""
    values, vectors = np.linalg.eigh(matrix)
    root = np.sqrt(values.clip(0))
    inverse = np.where(values > TINY * values[-1], 1 / np.where(root > 0, root, 1.0), 0.0)
    return vectors * root @ vectors.T, vectors * inverse @ vectors.T
