"""Order selection of autoregressions by information criteria, all orders on the same observations.

They are those of statsmodels: for one column those of `AutoReg` (2 log-likelihoods, the variance a parameter), for
several jointly Lütkepohl's (2005, section 4.3), the log-determinant of the residual covariance and a penalty an
observation.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from genfoundry.nn.timeseries import em_missing
from genfoundry.nn.timeseries.least_squares import column_index, count_terms, qr_factor, triangular_factor
from genfoundry.nn.timeseries.var import check_length, standardize

Criterion = Literal["aic", "bic", "hqic", "fpe"]


def select_order(x: Tensor, most: int, criterion: str, trend: str = "c", season: int = 0, joint: bool = False) -> int:
    """Return the order, 0..most, at which the criterion is least.

    Raises:
        ValueError: too few rows for the highest order.
    """
    return int(compute_criteria(x, most, trend, season, joint)[criterion].argmin())


def compute_criteria(x: Tensor, most: int, trend: str = "c", season: int = 0, joint: bool = False) -> dict[str, Tensor]:
    """Return criterion -> (most + 1,) values for the orders 0..most of (L, D), conditional on the first `most` rows.

    Independent columns share their order: their criteria are summed (the final prediction error's logarithms). With
    missing values, sums of squares are expectations under the fit of the highest order.
    """
    terms = count_terms(trend, season)
    if bool(x.isnan().any()):
        _, r, count = em_missing.fit_em(x, most, trend, season, joint)
        return criteria_from_factor(r, count, most, terms, standardize(x, trend)[2], joint)
    check_length(len(x), most, terms, x.shape[1] if joint else 1)
    y, _, scale = standardize(x, trend)
    return criteria_from_factor(triangular_factor(y, most, trend, season), len(x) - most, most, terms, scale, joint)


def criteria_from_factor(r: Tensor, count: int, most: int, terms: int, scale: Tensor, joint: bool) -> dict[str, Tensor]:
    """Return the criteria from R of `most` lags and `count` rows of values in units of `scale` (D,)."""
    columns = len(scale)
    if joint:
        volumes = _log_volumes(r, count, most, terms, columns) + 2 * scale.log().sum()
        return _vector(volumes, count, most, terms, columns)
    total: dict[str, Tensor] = {}
    for d in range(columns):
        r_d = qr_factor(r[:, column_index(d, most, terms, columns)]) if columns > 1 else r
        column = _single(_log_volumes(r_d, count, most, terms, 1) + 2 * scale[d].log(), count, most, terms)
        total = {name: value + total.get(name, 0.0) for name, value in column.items()}
    return total | {"fpe": total["fpe"].exp()}


def _log_volumes(r: Tensor, count: int, most: int, terms: int, columns: int) -> Tensor:
    """(most + 1,) log-determinants of the residual covariances, which are in the rows of R beyond an order.

    The row of a lag that earlier ones explain completely is rounding noise, and is counted as residual.
    """
    target = r[:, r.shape[1] - columns :]  # (rows of R, D)
    lags = slice(terms, r.shape[1] - columns)
    empty = r.diagonal()[lags].abs() <= 1e-10 * r[:, lags].square().sum(0).sqrt()
    product = target[:, :, None] * target[:, None]  # (rows of R, D, D)
    always = product[lags.stop :].sum(0) + (product[lags] * empty[:, None, None]).sum(0)
    by_lag = (product[lags] * ~empty[:, None, None]).view(most, columns, columns, columns).sum(1)
    beyond = torch.cat([by_lag.flip(0).cumsum(0).flip(0), torch.zeros_like(always)[None]])  # (most + 1, D, D)
    volumes: Tensor = torch.linalg.slogdet((always + beyond) / count).logabsdet
    return volumes


def _single(volume: Tensor, count: int, most: int, terms: int) -> dict[str, Tensor]:
    # Parameters of each order
    used = terms + torch.arange(most + 1, dtype=torch.float64, device=volume.device)
    twice = count * (volume + math.log(2 * math.pi) + 1)
    # + 1: the variance counts as a parameter
    criteria = {name: twice + _penalty(name, count) * (used + 1) for name in ("aic", "bic", "hqic")}
    return criteria | {"fpe": volume + torch.log((count + used) / (count - used))}


def _vector(volume: Tensor, count: int, most: int, terms: int, columns: int) -> dict[str, Tensor]:
    used = terms + columns * torch.arange(most + 1, dtype=torch.float64, device=volume.device)  # parameters a column
    criteria = {name: volume + _penalty(name, count) * columns * used / count for name in ("aic", "bic", "hqic")}
    return criteria | {"fpe": (volume + columns * torch.log((count + used) / (count - used))).exp()}


def _penalty(name: str, count: int) -> float:
    return {"aic": 2.0, "bic": math.log(count), "hqic": 2 * math.log(math.log(count))}[name]
