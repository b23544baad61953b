"""Autoregression with missing values (NaN) by expectation-maximisation (Dempster, Laird and Rubin 1977).

Given the parameters, missing values are Gaussian, and those more than p rows apart are independent given the observed
ones. The expectation is exact, one small least-squares problem a gap, and so is the marginal likelihood.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genfoundry.nn.timeseries.least_squares import (
    Fit,
    cholesky_factor,
    design_matrix,
    deterministic_terms,
    solve,
    solve_columns,
)
from genfoundry.nn.timeseries.var import check_length, cholesky_root, predict_one_step, standardize, unstandardize

MAX_ITERATIONS = 500
TOLERANCE = 1e-9  # change of the log-likelihood a value that ends the iteration


class Gap(NamedTuple):
    """Missing values that depend on each other: rows (n,), columns (n,), covariance (n, n)."""

    row: Tensor
    column: Tensor
    covariance: Tensor


def find_start(x: Tensor, order: int) -> int:
    """Return the first of p complete rows in succession, which an autoregression is conditional on.

    Raises:
        ValueError: there is no such row.
    """
    complete = (~x.isnan()).all(1).long()
    runs = complete.unfold(0, max(order, 1), 1).sum(1) == max(order, 1)  # (L - p + 1,)
    if not runs.any():
        raise ValueError(f"expected {order} complete rows in succession, got none")
    return int(runs.long().argmax())


def fit_em(x: Tensor, order: int, trend: str = "c", season: int = 0, joint: bool = False) -> tuple[Fit, Tensor, int]:
    """Fit as `var.fit_least_squares` does, to the likelihood of the observed values given the first p complete rows.

    Returns:
        The fit, R of the expected products, and the number of rows.

    Raises:
        ValueError: too few rows.
    """
    start = find_start(x, order)
    terms = deterministic_terms(torch.arange(start, len(x), device=x.device), trend, season)
    y, centre, scale = standardize(x, trend)
    y = y[start:]  # conditional on the first p complete rows
    columns, width, count = y.shape[1], terms.shape[1], len(y) - order
    check_length(int((~y.isnan()).all(1).sum()), order, width, columns if joint else 1)
    fit = Fit(y.new_zeros(columns, width), y.new_zeros(order, columns, columns), y.new_ones(columns).diag())
    before = 0.0  # there is none before the first iteration
    for done in range(MAX_ITERATIONS):
        filled, gaps, evidence = compute_expectation(y, fit, terms)
        r = cholesky_factor(second_moments(filled, order, terms, gaps))
        fit = solve(r, count, width, columns) if joint else solve_columns(r, count, order, width, columns)
        if done and abs(evidence - before) < TOLERANCE * count:
            break
        before = evidence
    return unstandardize(fit, centre, scale), r, count


def compute_expectation(x: Tensor, fit: Fit, terms: Tensor) -> tuple[Tensor, list[Gap], float]:
    """Return (L, D) with the means of the missing values, their covariances, the observed values' log-likelihood.

    The first p rows must be complete. With residuals A z + r linear in a gap's values z, their mean is the
    least-squares solution, their covariance (A^T A)^{-1}.
    """
    order, columns, lower = len(fit.phi), x.shape[1], cholesky_root(fit.sigma)
    offset = (terms @ fit.gamma.mT)[None, order:]
    filled, gaps, volume = x.nan_to_num(), [], 0.0  # missing values start at 0, at which residuals are r
    error = filled[order:] - predict_one_step(filled[None], offset, fit.phi)[0]  # (L - p, D)
    # The effect of a value on the residuals 0, 1, ..., p rows later, (p + 1, D, D)
    effect = torch.cat([torch.eye(columns, dtype=x.dtype, device=x.device)[None], -fit.phi])
    for row, column in _gaps(x, order):
        after = torch.arange(int(row[0]), min(int(row[-1]) + order + 1, len(x)), device=x.device)
        lag = after[:, None] - row  # (rows, n)
        a = torch.where(((lag >= 0) & (lag <= order))[..., None], effect[lag.clamp(0, order), :, column], 0.0)
        both = torch.cat([a.mT.flatten(0, 1), error[after - order].flatten()[:, None]], 1)  # (rows D, n + 1)
        both = torch.linalg.solve_triangular(lower, both.view(len(after), columns, -1), upper=False).flatten(0, 1)
        r = torch.linalg.qr(both[:, :-1])
        value = -torch.linalg.solve_triangular(r.R, (r.Q.mT @ both[:, -1:]), upper=True)[:, 0]
        filled[row, column] = value
        # (A^T A)^{-1} = R^{-1} R^{-T}
        inverse = torch.linalg.solve_triangular(r.R, torch.eye(len(row), dtype=x.dtype, device=x.device), upper=True)
        gaps.append(Gap(row, column, inverse @ inverse.mT))
        volume += float(0.5 * len(row) * math.log(2 * math.pi) - r.R.diagonal().abs().log().sum())
    error = filled[order:] - predict_one_step(filled[None], offset, fit.phi)[0]
    whitened = torch.linalg.solve_triangular(lower, error.mT, upper=False)  # (D, L - p)
    constant = len(error) * (lower.diagonal().log().sum() + 0.5 * columns * math.log(2 * math.pi))
    return filled, gaps, volume - float(0.5 * whitened.square().sum() + constant)


def _gaps(x: Tensor, order: int) -> list[tuple[Tensor, Tensor]]:
    """Rows and columns of the missing values, cut where p complete rows lie between."""
    row, column = x.isnan().nonzero(as_tuple=True)  # by rows
    # Values more than p rows apart are independent given the rows between them
    cuts = ((row.diff() > order).nonzero()[:, 0] + 1).cpu()
    parts = zip(row.tensor_split(cuts), column.tensor_split(cuts), strict=True)
    return [pair for pair in parts if len(pair[0])]


def second_moments(filled: Tensor, order: int, terms: Tensor, gaps: list[Gap]) -> Tensor:
    """Return E[W^T W]: that of the means, plus the covariances of missing values that share a row of W."""
    w = design_matrix(filled, order, terms)
    gram = w.mT @ w  # (K + pD + D, K + pD + D)
    columns, width = filled.shape[1], terms.shape[1]
    lags = torch.arange(order + 1, device=filled.device)
    for row, column, covariance in gaps:
        first = lags.view(1, 1, -1).expand(len(row), len(row), -1)
        at = row[:, None, None] + first  # the row of W in which the first of two values is at this lag
        second = at - row[None, :, None]
        both = (at < len(filled)) & (second >= 0) & (second <= order)
        column_of_lag = width + columns * ((lags - 1) % (order + 1))  # lag 1, ..., lag p, target
        i = (column_of_lag[first] + column[:, None, None])[both]
        j = (column_of_lag[second.clamp(0, order)] + column[None, :, None])[both]
        gram.view(-1).index_add_(0, i * len(gram) + j, covariance[:, :, None].expand_as(first)[both])
    return gram
