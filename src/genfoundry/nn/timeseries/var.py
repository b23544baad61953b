"""Linear autoregressions in float64: the conditional fit, residuals, forecasts and their covariances.

Vector autoregressions throughout (Luetkepohl 2005); columns that are modelled apart have diagonal matrices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genfoundry.nn.timeseries.least_squares import Fit, apart, solved, triangle, upper, width


def least_squares(x: Tensor, order: int, trend: str = "c", season: int = 0, joint: bool = False) -> Fit:
    """The conditional maximum likelihood: (L, D) values on deterministic terms and the p rows before each, t = p..L-1.

    `joint` regresses every column on the lags of all, else each on its own. Collinear lags (a constant or periodic
    series) get the solution of least norm instead of noise.

    Raises:
        ValueError: there are fewer rows than it takes.
    """
    count, known, columns = len(x) - order, width(trend, season), x.shape[1]
    enough(len(x), order, known, columns if joint else 1)
    y, centre, scale = standard(x, trend)
    r = triangle(y, order, trend, season)
    fit = solved(r, count, known, columns) if joint else apart(r, count, order, known, columns)
    return restored(fit, centre, scale)


def enough(length: int, order: int, terms: int, columns: int) -> None:
    """Refuse fewer rows than a regression on `terms` and `order` lags of `columns` columns takes."""
    least = order + order * columns + max(terms, 1)
    if length < least:
        raise ValueError(f"{length} values cannot fit an autoregression of order {order}; {least} are needed")


def standard(x: Tensor, trend: str) -> tuple[Tensor, Tensor, Tensor]:
    """(L, D) in its columns' deviations, and centred where a constant takes the mean: values, centre, scale."""
    x = x.double()
    mean = x.mean(0)
    if bool(mean.isfinite().all()):  # a series without gaps is passed over fewer times
        y = x - mean
        scale = torch.linalg.vector_norm(y, dim=0) / math.sqrt(len(y))
    else:
        mean = x.nanmean(0)
        y = x - mean
        scale = y.square().nanmean(0).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    return (y.div_(scale), mean, scale) if "c" in trend else (x / scale, torch.zeros_like(mean), scale)


def restored(fit: Fit, centre: Tensor, scale: Tensor) -> Fit:
    """The fit of standardised values in the values' own units; the constant is the first term where there is one."""
    phi = fit.phi * scale[:, None] / scale
    gamma = fit.gamma * scale[:, None]
    if gamma.shape[1]:
        gamma[:, 0] += centre - phi.sum(0) @ centre
    return Fit(gamma, phi, fit.sigma * torch.outer(scale, scale))


def predicted(past: Tensor, offset: Tensor, phi: Tensor) -> Tensor:
    """One-step predictions (B, T, D) of the last T rows of `past` (B, P + T, D), `offset` (B or 1, T, D) gamma d_t."""
    steps, at = offset.shape[1], past.shape[1] - offset.shape[1]
    mean = offset.expand(len(past), -1, -1)
    for lag, matrix in enumerate(phi, start=1):
        mean = mean + past[:, at - lag : at - lag + steps] @ matrix.mT
    return mean


def continued(past: Tensor, offset: Tensor, phi: Tensor, noise: Tensor | None = None) -> Tensor:
    """The recursion run on from `past` (B, P, D): (B, T, D), expected values, or a path with `noise` added."""
    values = list(past[:, past.shape[1] - len(phi) :].unbind(1))
    for t in range(offset.shape[1]):
        new = offset[:, t].expand(len(past), -1)
        for lag, matrix in enumerate(phi, start=1):
            new = new + values[-lag] @ matrix.mT
        values.append(new if noise is None else new + noise[:, t])
    return torch.stack(values[len(phi) :], 1) if offset.shape[1] else past[:, :0]


def impulse(phi: Tensor, steps: int) -> Tensor:
    """psi (steps, D, D): the effect of a shock after 0, 1, ... steps; psi_0 is the identity."""
    psi = [torch.eye(phi.shape[-1], dtype=phi.dtype, device=phi.device)]
    for t in range(1, steps):
        psi.append(sum((psi[t - 1 - i] @ phi[i] for i in range(min(len(phi), t))), torch.zeros_like(psi[0])))
    return torch.stack(psi[:steps]) if steps else phi.new_zeros(0, *phi.shape[1:])


def covariances(phi: Tensor, sigma: Tensor, steps: int) -> Tensor:
    """(steps, D, D) of the 1..steps ahead forecast errors: sum_{j<h} psi_j sigma psi_j^T, exact."""
    psi = impulse(phi, steps)
    return (psi @ sigma @ psi.mT).cumsum(0)


def root(sigma: Tensor) -> Tensor:
    """Lower triangular L with L L^T = sigma; an exact fit still has a density: no direction is without variance."""
    tiny = torch.finfo(sigma.dtype).tiny
    found, fault = torch.linalg.cholesky_ex(sigma)
    if bool((fault != 0) | (found.diagonal() <= 1e-8 * found.diagonal().max()).any()):
        value, vector = torch.linalg.eigh(sigma)
        r = upper(value.clamp_min(max(float(value[-1]) * 1e-15, tiny)).sqrt()[:, None] * vector.mT)
        found = r.mT * r.diagonal().sign()
    if bool((sigma == sigma.diagonal().diag()).all()):  # apart: columns may differ by any power of ten
        found = sigma.diagonal().clamp_min(tiny).sqrt().diag()
    return torch.clone(found, memory_format=torch.contiguous_format)


def log_density(error: Tensor, lower: Tensor) -> Tensor:
    """log N(error; 0, L L^T) of (..., D) errors: (...)."""
    whitened = torch.linalg.solve_triangular(lower, error.unsqueeze(-1), upper=False).squeeze(-1)
    constant = lower.diagonal().log().sum() + 0.5 * len(lower) * math.log(2 * math.pi)
    return torch.sub(-0.5 * whitened.square().sum(-1), constant)


def triangular_least_squares(x: Tensor, *, ridge: float, shrinkage: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Each column of x (N, D) predicted from the columns before it: const (D,), weight (D, D), deviation (D,), float64.

    Column i is const_i + sum_{j < i} weight_ij x_j + deviation_i e_i. All D regressions at once: with C the Cholesky
    factor of the covariance, to whose diagonal `ridge` is added, weight = I - diag(C) C^-1 and deviation = diag(C).
    `shrinkage` takes that share from the correlations: with fewer rows than columns nearly everything can be
    explained, and nothing predicted.
    """
    x = x.double()
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    variance = covariance.diagonal() + ridge
    covariance.mul_(1 - shrinkage).diagonal().copy_(variance)
    factor = torch.linalg.cholesky(covariance)
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    weight = -(factor.diagonal()[:, None] * inverse).tril(-1)
    return mean - weight @ mean, weight, factor.diagonal()
