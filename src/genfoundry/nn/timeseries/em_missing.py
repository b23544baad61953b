"""Autoregressions of series with missing values (NaN), by expectation-maximisation (Dempster, Laird and Rubin 1977).

Given parameters, missing values are Gaussian, and those more than p rows apart are independent given what is seen: the
expectation is exact, one small least-squares problem a gap, and so is the marginal likelihood of what is seen.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genfoundry.nn.timeseries.least_squares import Fit, apart, design, factor, solved, terms
from genfoundry.nn.timeseries.var import enough, predicted, restored, root, standard

ROUNDS, CLOSE = 500, 1e-9  # of expectation-maximisation: at most, and the change of the likelihood a value that ends it


class Gap(NamedTuple):
    """Missing values so near that they depend on each other: rows (n,), columns (n,), covariance (n, n)."""

    row: Tensor
    column: Tensor
    covariance: Tensor


def trimmed(x: Tensor, order: int) -> int:
    """The row from which p rows without a gap follow each other: what an autoregression is conditional on.

    Raises:
        ValueError: there is no such row.
    """
    whole = (~x.isnan()).all(1).long()
    runs = whole.unfold(0, max(order, 1), 1).sum(1) == max(order, 1)
    if not runs.any():
        raise ValueError(f"no {order} rows without a gap follow each other")
    return int(runs.long().argmax())


def least_squares(
    x: Tensor, order: int, trend: str = "c", season: int = 0, joint: bool = False
) -> tuple[Fit, Tensor, int]:
    """As `autoregression.least_squares`, the likelihood that of the seen values; then R of the expected products, rows.

    Conditional on the first p rows without a gap.

    Raises:
        ValueError: too few rows.
    """
    start = trimmed(x, order)
    known = terms(torch.arange(start, len(x), device=x.device), trend, season)
    y, centre, scale = standard(x, trend)
    y = y[start:]
    columns, width, count = y.shape[1], known.shape[1], len(y) - order
    enough(int((~y.isnan()).all(1).sum()), order, width, columns if joint else 1)
    fit = Fit(y.new_zeros(columns, width), y.new_zeros(order, columns, columns), y.new_ones(columns).diag())
    before = 0.0
    for done in range(ROUNDS):
        filled, found, evidence = expected(y, fit, known)
        r = factor(second_moments(filled, order, known, found))
        fit = solved(r, count, width, columns) if joint else apart(r, count, order, width, columns)
        if done and abs(evidence - before) < CLOSE * count:
            break
        before = evidence
    return restored(fit, centre, scale), r, count


def expected(x: Tensor, fit: Fit, known: Tensor) -> tuple[Tensor, list[Gap], float]:
    """Values (L, D) with the means of the missing ones, their covariances, and the log-likelihood of the seen ones.

    The first p rows must be there. With residuals A z + r linear in a gap's values z, their mean is the least-squares
    solution, their covariance (A^T A)^{-1}.
    """
    order, columns, lower = len(fit.phi), x.shape[1], root(fit.sigma)
    offset = (known @ fit.gamma.mT)[None, order:]
    filled, gaps, volume = x.nan_to_num(), [], 0.0
    error = filled[order:] - predicted(filled[None], offset, fit.phi)[0]
    effect = torch.cat([torch.eye(columns, dtype=x.dtype, device=x.device)[None], -fit.phi])  # after 0, 1, ..., p rows
    for row, column in _gaps(x, order):
        after = torch.arange(int(row[0]), min(int(row[-1]) + order + 1, len(x)), device=x.device)
        lag = after[:, None] - row
        a = torch.where(((lag >= 0) & (lag <= order))[..., None], effect[lag.clamp(0, order), :, column], 0.0)
        both = torch.cat([a.mT.flatten(0, 1), error[after - order].flatten()[:, None]], 1)  # (rows D, n + 1)
        both = torch.linalg.solve_triangular(lower, both.view(len(after), columns, -1), upper=False).flatten(0, 1)
        r = torch.linalg.qr(both[:, :-1])
        value = -torch.linalg.solve_triangular(r.R, (r.Q.mT @ both[:, -1:]), upper=True)[:, 0]
        filled[row, column] = value
        inverse = torch.linalg.solve_triangular(r.R, torch.eye(len(row), dtype=x.dtype, device=x.device), upper=True)
        gaps.append(Gap(row, column, inverse @ inverse.mT))
        volume += float(0.5 * len(row) * math.log(2 * math.pi) - r.R.diagonal().abs().log().sum())
    error = filled[order:] - predicted(filled[None], offset, fit.phi)[0]
    whitened = torch.linalg.solve_triangular(lower, error.mT, upper=False)
    constant = len(error) * (lower.diagonal().log().sum() + 0.5 * columns * math.log(2 * math.pi))
    return filled, gaps, volume - float(0.5 * whitened.square().sum() + constant)


def _gaps(x: Tensor, order: int) -> list[tuple[Tensor, Tensor]]:
    """Rows and columns of the missing values, cut where p seen rows lie between."""
    row, column = x.isnan().nonzero(as_tuple=True)
    cuts = ((row.diff() > order).nonzero()[:, 0] + 1).cpu()
    parts = zip(row.tensor_split(cuts), column.tensor_split(cuts), strict=True)
    return [pair for pair in parts if len(pair[0])]


def second_moments(filled: Tensor, order: int, known: Tensor, gaps: list[Gap]) -> Tensor:
    """E[W^T W]: of the means, and the covariance of every two missing values wherever both stand in a row of W."""
    w = design(filled, order, known)
    gram = w.mT @ w
    columns, width = filled.shape[1], known.shape[1]
    lags = torch.arange(order + 1, device=filled.device)
    for row, column, covariance in gaps:
        first = lags.view(1, 1, -1).expand(len(row), len(row), -1)
        at = row[:, None, None] + first  # the row of W in which the first of two stands at this lag
        second = at - row[None, :, None]
        both = (at < len(filled)) & (second >= 0) & (second <= order)
        place = width + columns * ((lags - 1) % (order + 1))  # lag 1, ..., lag p, target
        i = (place[first] + column[:, None, None])[both]
        j = (place[second.clamp(0, order)] + column[None, :, None])[both]
        gram.view(-1).index_add_(0, i * len(gram) + j, covariance[:, :, None].expand_as(first)[both])
    return gram
