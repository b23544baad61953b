"""Vector autoregression in float64: conditional maximum likelihood, residuals, forecasts and their covariances.

Lütkepohl 2005, "New introduction to multiple time series analysis". Columns modelled independently of each other have
diagonal matrices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genfoundry.nn.timeseries.least_squares import Fit, count_terms, qr_factor, solve, solve_columns, triangular_factor


def fit_least_squares(x: Tensor, order: int, trend: str = "c", season: int = 0, joint: bool = False) -> Fit:
    """Fit (L, D) values on deterministic terms and the p rows before each, t = p..L-1, by conditional maximum
    likelihood.

    `joint` regresses every column on the lags of all columns, otherwise each on its own. With collinear lags (a
    constant or periodic series) it returns the solution of least norm.

    Raises:
        ValueError: there are too few rows.
    """
    count, terms, columns = len(x) - order, count_terms(trend, season), x.shape[1]
    check_length(len(x), order, terms, columns if joint else 1)
    y, centre, scale = standardize(x, trend)
    r = triangular_factor(y, order, trend, season)
    fit = solve(r, count, terms, columns) if joint else solve_columns(r, count, order, terms, columns)
    return unstandardize(fit, centre, scale)


def check_length(length: int, order: int, terms: int, columns: int) -> None:
    """Check that `length` rows suffice for a regression on `terms` and `order` lags of `columns` columns.

    Raises:
        ValueError: they do not.
    """
    least = order + order * columns + max(terms, 1)
    if length < least:
        raise ValueError(f"{length} values cannot fit an autoregression of order {order}; {least} are needed")


def standardize(x: Tensor, trend: str) -> tuple[Tensor, Tensor, Tensor]:
    """Divide columns of (L, D) by their standard deviations, centred if there is a constant: values, centre, scale."""
    x = x.double()
    mean = x.mean(0)  # NaN if a value is missing
    if bool(mean.isfinite().all()):  # without missing values fewer passes suffice
        y = x - mean
        scale = torch.linalg.vector_norm(y, dim=0) / math.sqrt(len(y))
    else:
        mean = x.nanmean(0)
        y = x - mean
        scale = y.square().nanmean(0).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)  # a constant column
    return (y.div_(scale), mean, scale) if "c" in trend else (x / scale, torch.zeros_like(mean), scale)


def unstandardize(fit: Fit, centre: Tensor, scale: Tensor) -> Fit:
    """Return the fit of standardised values in the values' own units; a constant is the first term."""
    # phi maps columns: its rows are in units of the target, its columns in units of the lag
    phi = fit.phi * scale[:, None] / scale
    gamma = fit.gamma * scale[:, None]
    if gamma.shape[1]:
        # The deviation from the mean obeys the fit, so that the mean enters the constant
        gamma[:, 0] += centre - phi.sum(0) @ centre
    return Fit(gamma, phi, fit.sigma * torch.outer(scale, scale))


def predict_one_step(past: Tensor, offset: Tensor, phi: Tensor) -> Tensor:
    """Predict one step, (B, T, D), of the last T rows of (B, P + T, D); `offset` is gamma d_t, (B or 1, T, D)."""
    steps, first = offset.shape[1], past.shape[1] - offset.shape[1]
    mean = offset.expand(len(past), -1, -1)
    for lag, matrix in enumerate(phi, start=1):
        mean = mean + past[:, first - lag : first - lag + steps] @ matrix.mT  # (B, T, D)
    return mean


def extrapolate(past: Tensor, offset: Tensor, phi: Tensor, noise: Tensor | None = None) -> Tensor:
    """Continue `past` (B, P, D) by the recursion: (B, T, D), expected values, or a sample path with `noise` added."""
    values = list(past[:, past.shape[1] - len(phi) :].unbind(1))  # p rows (B, D)
    for t in range(offset.shape[1]):
        new = offset[:, t].expand(len(past), -1)
        for lag, matrix in enumerate(phi, start=1):
            new = new + values[-lag] @ matrix.mT
        values.append(new if noise is None else new + noise[:, t])
    return torch.stack(values[len(phi) :], 1) if offset.shape[1] else past[:, :0]


def impulse_response(phi: Tensor, steps: int) -> Tensor:
    """Return psi (steps, D, D): the effect of a shock after 0, 1, ... steps; psi_0 is the identity."""
    psi = [torch.eye(phi.shape[-1], dtype=phi.dtype, device=phi.device)]
    for t in range(1, steps):
        psi.append(sum((psi[t - 1 - i] @ phi[i] for i in range(min(len(phi), t))), torch.zeros_like(psi[0])))
    return torch.stack(psi[:steps]) if steps else phi.new_zeros(0, *phi.shape[1:])


def forecast_covariances(phi: Tensor, sigma: Tensor, steps: int) -> Tensor:
    """Return (steps, D, D): covariances of the h-step forecast errors, sum_{j<h} psi_j sigma psi_j^T."""
    psi = impulse_response(phi, steps)  # (steps, D, D)
    return (psi @ sigma @ psi.mT).cumsum(0)  # (steps, D, D)


def cholesky_root(sigma: Tensor) -> Tensor:
    """Return lower triangular L with L L^T = sigma, regularised so that an exact fit has a density, too."""
    tiny = torch.finfo(sigma.dtype).tiny
    lower, fault = torch.linalg.cholesky_ex(sigma)
    if bool((fault != 0) | (lower.diagonal() <= 1e-8 * lower.diagonal().max()).any()):
        # Singular: eigenvalues are raised to rounding error, so that a density exists
        value, vector = torch.linalg.eigh(sigma)
        r = qr_factor(value.clamp_min(max(float(value[-1]) * 1e-15, tiny)).sqrt()[:, None] * vector.mT)
        lower = r.mT * r.diagonal().sign()  # QR may return negative diagonals
    if bool((sigma == sigma.diagonal().diag()).all()):  # independent columns, which may differ by any power of ten
        lower = sigma.diagonal().clamp_min(tiny).sqrt().diag()
    return torch.clone(lower, memory_format=torch.contiguous_format)


def log_density(error: Tensor, lower: Tensor) -> Tensor:
    """Return (...): log N(error; 0, L L^T) of errors (..., D)."""
    # L^{-1} error, (..., D)
    whitened = torch.linalg.solve_triangular(lower, error.unsqueeze(-1), upper=False).squeeze(-1)
    constant = lower.diagonal().log().sum() + 0.5 * len(lower) * math.log(2 * math.pi)
    return torch.sub(-0.5 * whitened.square().sum(-1), constant)


def fit_triangular(x: Tensor, *, ridge: float, shrinkage: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Regress each column of x (N, D) on the columns before it: const (D,), weight (D, D), std (D,), float64.

    Column i is const_i + sum_{j < i} weight_ij x_j + std_i e_i. All D regressions are one Cholesky factorisation: with
    C the factor of the covariance, to whose diagonal `ridge` is added, weight = I - diag(C) C^-1 and std = diag(C).
    Correlations are reduced by the share `shrinkage`: with fewer rows than columns they would be overfitted.
    """
    x = x.double()
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)  # (D, D)
    variance = covariance.diagonal() + ridge
    covariance.mul_(1 - shrinkage).diagonal().copy_(variance)  # only correlations are shrunk
    factor = torch.linalg.cholesky(covariance)
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    weight = -(factor.diagonal()[:, None] * inverse).tril(-1)
    return mean - weight @ mean, weight, factor.diagonal()
