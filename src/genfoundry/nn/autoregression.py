"""Linear autoregressions in float64: the exact conditional fit, forecasts and their variances."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def conditional_least_squares(series: Tensor, order: int) -> tuple[Tensor, Tensor, Tensor]:
    """AR(p) with constant, fitted to x_t given the p values before it, t = p..L-1; columns are fitted apart.

    The least-squares solution of x_t = const + sum_i phi_i x_{t-i} is the conditional maximum likelihood. Columns are
    centred, and the centred lags solved by SVD: collinear lags (a constant or periodic series) get the solution of
    least norm instead of noise.

    Args:
        series: (L, D), any real type; L - p must be above p.
    Returns:
        const (D,), phi (D, p) with the latest lag first, sigma2 (D,), the mean squared residual (divisor L - p).
    """
    x = series.double()
    length, columns = x.shape
    if length - order <= order:
        raise ValueError(f"{length} values cannot fit an autoregression of order {order}; {2 * order + 1} are needed")
    const, phi, sigma2 = x.new_zeros(columns), x.new_zeros(columns, order), x.new_zeros(columns)
    for d in range(columns):
        centre, scale = x[:, d].mean(), x[:, d].std(correction=0)
        y = (x[:, d] - centre) / torch.where(scale > 0, scale, 1.0)
        target = y[order:]
        lags = y.unfold(0, order, 1)[:-1].flip(1) if order else y.new_zeros(length, 0)
        means = lags.mean(0)
        if order:
            fit = torch.linalg.lstsq(lags - means, (target - target.mean()).unsqueeze(1), driver="gelsd", rcond=1e-12)
            phi[d] = fit.solution[:, 0]
        offset = target.mean() - means @ phi[d]
        sigma2[d] = (target - offset - lags @ phi[d]).square().mean() * torch.where(scale > 0, scale, 1.0) ** 2
        const[d] = offset * torch.where(scale > 0, scale, 1.0) + centre * (1.0 - phi[d].sum())
    return const, phi, sigma2


def residuals(x: Tensor, past: Tensor, const: Tensor, phi: Tensor) -> Tensor:
    """x_t less its one-step prediction, (B, T, D) for x (B, T, D) after `past` (B, P, D) with P >= p."""
    steps, order = x.shape[1], phi.shape[1]
    whole = torch.cat([past, x], 1)[:, past.shape[1] - order :]
    predicted = const.expand_as(x).clone()
    for lag in range(1, order + 1):
        predicted += phi[:, lag - 1] * whole[:, order - lag : order - lag + steps]
    return x - predicted


def continued(past: Tensor, steps: int, const: Tensor, phi: Tensor, noise: Tensor | None = None) -> Tensor:
    """The recursion run on from `past` (B, P, D): (B, steps, D), expected values, or a path with `noise` added."""
    order = phi.shape[1]
    values = list(past[:, past.shape[1] - order :].unbind(1)) if order else []
    for t in range(steps):
        new = const.expand(len(past), -1).clone()
        for lag in range(1, order + 1):
            new += phi[:, lag - 1] * values[-lag]
        values.append(new if noise is None else new + noise[:, t])
    return torch.stack(values[order:], 1) if steps else past[:, :0]


def impulse(phi: Tensor, steps: int) -> Tensor:
    """psi (D, steps): the effect of a shock after 0, 1, ... steps; psi_0 = 1."""
    columns, order = phi.shape
    psi = phi.new_zeros(columns, steps)
    for t in range(steps):
        psi[:, t] = 1.0 if t == 0 else sum(phi[:, i] * psi[:, t - 1 - i] for i in range(min(order, t)))
    return psi


def deviations(phi: Tensor, sigma2: Tensor, steps: int) -> Tensor:
    """(steps, D) standard deviations of the 1..steps ahead forecasts: sigma^2 sum_{j<h} psi_j^2, exact."""
    return (sigma2.unsqueeze(1) * impulse(phi, steps).square().cumsum(1)).sqrt().T


def log_density(error: Tensor, sigma2: Tensor) -> Tensor:
    """log N(error; 0, sigma2), elementwise."""
    return -0.5 * (error.square() / sigma2 + torch.log(sigma2) + math.log(2 * math.pi))


def triangular_least_squares(x: Tensor, *, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """Each column of x (N, D) predicted from the columns before it: const (D,), weight (D, D), deviation (D,), float64.

    Column i is const_i + sum_{j < i} weight_ij x_j + deviation_i e_i. All D regressions at once: with C the Cholesky
    factor of the covariance, to whose diagonal `ridge` is added, weight = I - diag(C) C^-1 and deviation = diag(C).
    """
    x = x.double()
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    covariance.diagonal().add_(ridge)
    factor = torch.linalg.cholesky(covariance)
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    weight = -(factor.diagonal()[:, None] * inverse).tril(-1)
    return mean - weight @ mean, weight, factor.diagonal()
