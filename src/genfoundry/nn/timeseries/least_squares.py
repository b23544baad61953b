"""Least squares of a series on deterministic terms and its own lags, from one triangular factor, in float64.

Let W = [terms, lag 1, ..., lag p, target] and R be upper triangular with R^T R = W^T W. R holds all that a fit of any
order up to p needs: coefficients, residual covariances, information criteria.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CONDITION = 1e6  # condition number of the lags' correlations up to which normal equations lose at most 6 of 16 digits


class Fit(NamedTuple):
    """x_t = gamma d_t + sum_i phi_i x_{t-i} + e_t: gamma (D, K), phi (p, D, D) latest lag first, sigma (D, D) of e_t.

    `sigma` is the maximum-likelihood covariance: its divisor is the number of residuals.
    """

    gamma: Tensor
    phi: Tensor
    sigma: Tensor


def deterministic_terms(row: Tensor, trend: str, season: int) -> Tensor:
    """Return (..., K) deterministic terms of rows (numbers from 0): constant, row + 1, seasonal dummies.

    They are those of statsmodels' AutoReg: beside a constant, the first of the `season` dummies is left out.
    """
    terms = [torch.ones_like(row)] if "c" in trend else []
    terms += [row + 1] if "t" in trend else []
    terms += [(row % season == s).to(row.dtype) for s in range("c" in trend, season)]
    return torch.stack(terms, -1).double() if terms else row.new_zeros((*row.shape, 0), dtype=torch.float64)


def count_terms(trend: str, season: int) -> int:
    """Return K, the number of deterministic terms."""
    return deterministic_terms(torch.zeros(1), trend, season).shape[1]


def design_matrix(x: Tensor, order: int, terms: Tensor) -> Tensor:
    """Return W (L - p, K + pD + D): terms, lags with the latest first, target."""
    parts = [terms[order:], *(x[order - i : len(x) - i] for i in range(1, order + 1)), x[order:]]
    return torch.cat(parts, 1)


def cross_moments(x: Tensor, order: int, constant: bool) -> Tensor:
    """Return W^T W of (L, D) values, with a constant as the only term or none, from p + 1 sums of products.

    The sum over t of x_{t-i} x_{t-j}^T is that of (i - 1, j - 1), plus a product at the start, less one at the end.
    """
    length, columns = x.shape
    s = x.new_zeros(order + 1, order + 1, columns, columns)  # [i, j]: sum over t of x_{t-i} x_{t-j}^T
    s[0] = lagged_products(x, order)
    head, tail = x[: order + 1].flip(0), x[length - order :].flip(0)  # x_{p-j}; x_{L-j}, j from 1
    for i in range(1, order + 1):
        came, went = head[i, None, :, None] * head[i:, None], tail[i - 1, None, :, None] * tail[i - 1 :, None]
        s[i, i:] = s[i - 1, i - 1 : -1] + came - went
    for i in range(order):
        s[i + 1 :, i] = s[i, i + 1 :].mT
    around = torch.arange(1, order + 2) % (order + 1)  # lag 1, ..., lag p, target
    grid = s[around][:, around].permute(0, 2, 1, 3).reshape((order + 1) * columns, -1)  # (pD + D, pD + D)
    if not constant:
        return grid
    total = x.sum(0)  # (D,)
    edges = (
        torch.cat([x.new_zeros(1, columns), x[:order].cumsum(0)]),
        torch.cat([x.new_zeros(1, columns), x[length - order :].flip(0).cumsum(0)]),
    )
    sums = torch.stack([total - edges[0][order - j] - edges[1][j] for j in range(order + 1)])[around].flatten()
    count = x.new_full((1, 1), length - order)
    return torch.cat([torch.cat([count, sums[None]], 1), torch.cat([sums[:, None], grid], 1)])


def lagged_products(x: Tensor, order: int) -> Tensor:
    """Return (p + 1, D, D): sums over t = p..L-1 of x_t x_{t-j}^T, j = 0..p.

    Two matrix products of blocks of p rows, a block with itself and with the one before, hold every product of two
    values up to p rows apart; that is many times faster than p + 1 passes over the series.
    """
    length, columns = x.shape
    if not order:
        return (x.T @ x)[None]
    blocks = (length - order) // order
    now, before = (x[at : at + blocks * order].reshape(blocks, -1) for at in (order, 0))  # (blocks, p D) each
    row = torch.arange(order, device=x.device)
    distance = row[:, None] - row  # within a block; rows of the block before are `order` farther
    sums = x.new_zeros(order + 1, columns, columns)
    for block, lag in ((now, distance), (before, distance + order)):
        product = (now.T @ block).view(order, columns, order, columns).transpose(1, 2)  # (p, p, D, D)
        near = (lag >= 0) & (lag <= order)
        sums.index_add_(0, lag[near], product[near])
    rest = torch.arange(order * (blocks + 1), length, device=x.device)
    back = torch.arange(order + 1, device=x.device)
    return sums + torch.einsum("td,tje->jde", x[rest], x[rest[:, None] - back])


def triangular_factor(x: Tensor, order: int, trend: str, season: int) -> Tensor:
    """Return R of (L, D) values: by moments if the lags are well-conditioned, else by Householder QR."""
    if trend in ("n", "c") and not season:
        gram = cross_moments(x, order, trend == "c")
        if is_well_conditioned(gram):
            return cholesky_factor(gram)
    return qr_factor(design_matrix(x, order, deterministic_terms(torch.arange(len(x), device=x.device), trend, season)))


def qr_factor(w: Tensor) -> Tensor:
    """Return R of W's QR decomposition."""
    r: Tensor = torch.linalg.qr(w, mode="r").R
    return r


def is_well_conditioned(gram: Tensor) -> bool:
    """Whether W^T W keeps enough digits, of the lags' correlations and of the target's residual."""
    scale = gram.diagonal().sqrt()
    # A constant column has no correlations
    if not (scale > 0).all():
        return False
    spectrum = torch.linalg.eigvalsh(gram / torch.outer(scale, scale))  # ascending
    return bool(spectrum[0] * CONDITION > spectrum[-1])


def cholesky_factor(gram: Tensor) -> Tensor:
    """Return the upper triangular R with R^T R = `gram`, positive semidefinite."""
    r, fault = torch.linalg.cholesky_ex(gram, upper=True)
    if fault.item():
        value, vector = torch.linalg.eigh(gram)
        # Rounding made it indefinite: R of the root of its positive part
        r = qr_factor(value.clamp_min(0).sqrt()[:, None] * vector.mT)
    return torch.triu(r)


def solve(r: Tensor, count: int, terms: int, columns: int) -> Fit:
    """Fit the highest order that R has, all columns on the lags of all; the least norm among equal solutions."""
    lags, target = slice(terms, len(r[0]) - columns), slice(len(r[0]) - columns, None)
    beta = r.new_zeros(lags.stop - terms, columns)
    if len(beta):
        beta = torch.linalg.lstsq(r[lags, lags], r[lags, target], driver="gelsd", rcond=1e-12).solution  # least norm
    residual = r[lags, target] - r[lags, lags] @ beta
    # Rows of R beyond the lags hold the part of the target that nothing explains
    sigma = (residual.mT @ residual + r[lags.stop :, target].mT @ r[lags.stop :, target]) / count
    partial = r[:terms, target] - r[:terms, lags] @ beta
    gamma = torch.linalg.lstsq(r[:terms, :terms], partial, driver="gelsd", rcond=1e-12).solution if terms else partial
    return Fit(gamma.mT, beta.view(-1, columns, columns).mT, sigma)  # (D, K), (p, D, D), (D, D)


def column_index(d: int, order: int, terms: int, columns: int) -> Tensor:
    """Return the columns of W that are the terms, and the lags and target of column d alone."""
    return torch.cat([torch.arange(terms), terms + d + columns * torch.arange(order + 1)])


def solve_columns(r: Tensor, count: int, order: int, terms: int, columns: int) -> Fit:
    """Fit each column on its own lags alone: phi and sigma are diagonal."""
    fit = Fit(r.new_zeros(columns, terms), r.new_zeros(order, columns, columns), r.new_zeros(columns, columns))
    for d in range(columns):
        r_d = qr_factor(r[:, column_index(d, order, terms, columns)]) if columns > 1 else r
        fit_d = solve(r_d, count, terms, 1)
        fit.gamma[d], fit.phi[:, d, d], fit.sigma[d, d] = fit_d.gamma[0], fit_d.phi[:, 0, 0], fit_d.sigma[0, 0]
    return fit
