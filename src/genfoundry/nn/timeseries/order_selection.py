"""The order of an autoregression by information criteria, of every order up to the highest on the same observations.

As statsmodels has them: for one column those of `AutoReg` (2 log-likelihoods, the variance a parameter), for several
jointly Luetkepohl's (2005, 4.3), the log-determinant of the residual covariance and a penalty an observation.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from genfoundry.nn.timeseries import em_missing
from genfoundry.nn.timeseries.least_squares import columns_of, triangle, upper, width
from genfoundry.nn.timeseries.var import enough, standard

Criterion = Literal["aic", "bic", "hqic", "fpe"]


def selected(x: Tensor, most: int, criterion: str, trend: str = "c", season: int = 0, joint: bool = False) -> int:
    """The order, 0..most, at which the criterion is least.

    Raises:
        ValueError: too few rows for the highest order.
    """
    return int(criteria(x, most, trend, season, joint)[criterion].argmin())


def criteria(x: Tensor, most: int, trend: str = "c", season: int = 0, joint: bool = False) -> dict[str, Tensor]:
    """Criterion -> (most + 1,) values for the orders 0..most of (L, D) values, conditional on the first `most` rows.

    Columns that are modelled apart share their order: their criteria are summed (of the final prediction error, logs).
    Where values are missing, the sums of squares are expected ones under the fit of the highest order.
    """
    known = width(trend, season)
    if bool(x.isnan().any()):
        _, r, count = em_missing.least_squares(x, most, trend, season, joint)
        return from_triangle(r, count, most, known, standard(x, trend)[2], joint)
    enough(len(x), most, known, x.shape[1] if joint else 1)
    y, _, scale = standard(x, trend)
    return from_triangle(triangle(y, most, trend, season), len(x) - most, most, known, scale, joint)


def from_triangle(r: Tensor, count: int, most: int, terms: int, scale: Tensor, joint: bool) -> dict[str, Tensor]:
    """The same from R of `most` lags and `count` rows of values in units of `scale` (D,)."""
    columns = len(scale)
    if joint:
        volumes = _log_volumes(r, count, most, terms, columns) + 2 * scale.log().sum()
        return _vector(volumes, count, most, terms, columns)
    total: dict[str, Tensor] = {}
    for d in range(columns):
        own = upper(r[:, columns_of(d, most, terms, columns)]) if columns > 1 else r
        one = _single(_log_volumes(own, count, most, terms, 1) + 2 * scale[d].log(), count, most, terms)
        total = {name: value + total.get(name, 0.0) for name, value in one.items()}
    return total | {"fpe": total["fpe"].exp()}


def _log_volumes(r: Tensor, count: int, most: int, terms: int, columns: int) -> Tensor:
    """(most + 1,) log-determinants of the residual covariance: the rows of R beyond an order are what it leaves.

    A lag that earlier ones explain wholly leaves noise in its row, which explains nothing.
    """
    target = r[:, r.shape[1] - columns :]
    lags = slice(terms, r.shape[1] - columns)
    empty = r.diagonal()[lags].abs() <= 1e-10 * r[:, lags].square().sum(0).sqrt()
    product = target[:, :, None] * target[:, None]
    always = product[lags.stop :].sum(0) + (product[lags] * empty[:, None, None]).sum(0)
    each = (product[lags] * ~empty[:, None, None]).view(most, columns, columns, columns).sum(1)
    beyond = torch.cat([each.flip(0).cumsum(0).flip(0), torch.zeros_like(always)[None]])
    volumes: Tensor = torch.linalg.slogdet((always + beyond) / count).logabsdet
    return volumes


def _single(volume: Tensor, count: int, most: int, terms: int) -> dict[str, Tensor]:
    used = terms + torch.arange(most + 1, dtype=torch.float64, device=volume.device)
    twice = count * (volume + math.log(2 * math.pi) + 1)
    found = {name: twice + _penalty(name, count) * (used + 1) for name in ("aic", "bic", "hqic")}
    return found | {"fpe": volume + torch.log((count + used) / (count - used))}


def _vector(volume: Tensor, count: int, most: int, terms: int, columns: int) -> dict[str, Tensor]:
    used = terms + columns * torch.arange(most + 1, dtype=torch.float64, device=volume.device)
    found = {name: volume + _penalty(name, count) * columns * used / count for name in ("aic", "bic", "hqic")}
    return found | {"fpe": (volume + columns * torch.log((count + used) / (count - used))).exp()}


def _penalty(name: str, count: int) -> float:
    return {"aic": 2.0, "bic": math.log(count), "hqic": 2 * math.log(math.log(count))}[name]


CRITERIA: tuple[str, ...] = get_args(Criterion)
