"""Least squares of a series on deterministic terms and its own past, from one triangular factor, in float64.

R, upper triangular with R^T R = W^T W for W = [terms, lag 1, ..., lag p, target], holds all that a fit of any order up
to p needs: coefficients, residual covariances, information criteria.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CONDITION = 1e6  # of the lags' correlations: below it normal equations lose at most 6 of 16 digits


class Fit(NamedTuple):
    """x_t = gamma d_t + sum_i phi_i x_{t-i} + e_t: gamma (D, K), phi (p, D, D) latest lag first, sigma (D, D) of e_t.

    `sigma` is the maximum-likelihood covariance: its divisor is the number of residuals.
    """

    gamma: Tensor
    phi: Tensor
    sigma: Tensor


def terms(row: Tensor, trend: str, season: int) -> Tensor:
    """(..., K) deterministic terms of the rows with these numbers, counted from 0: constant, row + 1, dummies.

    Those of statsmodels' AutoReg: beside a constant the first of the season's `season` dummies is left out.
    """
    found = [torch.ones_like(row)] if "c" in trend else []
    found += [row + 1] if "t" in trend else []
    found += [(row % season == s).to(row.dtype) for s in range("c" in trend, season)]
    return torch.stack(found, -1).double() if found else row.new_zeros((*row.shape, 0), dtype=torch.float64)


def width(trend: str, season: int) -> int:
    """K: how many deterministic terms there are."""
    return terms(torch.zeros(1), trend, season).shape[1]


def design(x: Tensor, order: int, known: Tensor) -> Tensor:
    """W (L - p, K + pD + D): terms, lags with the latest first, target."""
    parts = [known[order:], *(x[order - i : len(x) - i] for i in range(1, order + 1)), x[order:]]
    return torch.cat(parts, 1)


def moments(x: Tensor, order: int, constant: bool) -> Tensor:
    """W^T W of (L, D) values, with a constant as the only term or none, in p + 1 sums of products and their edges.

    The sum over t of x_{t-i} x_{t-j}^T is that of (i - 1, j - 1), a product more at the start, one less at the end.
    """
    length, columns = x.shape
    s = x.new_zeros(order + 1, order + 1, columns, columns)
    s[0] = lagged(x, order)
    head, tail = x[: order + 1].flip(0), x[length - order :].flip(0)  # x_{p-j}; x_{L-j}, j from 1
    for i in range(1, order + 1):
        came, went = head[i, None, :, None] * head[i:, None], tail[i - 1, None, :, None] * tail[i - 1 :, None]
        s[i, i:] = s[i - 1, i - 1 : -1] + came - went
    for i in range(order):
        s[i + 1 :, i] = s[i, i + 1 :].mT
    around = torch.arange(1, order + 2) % (order + 1)  # lag 1, ..., lag p, target
    grid = s[around][:, around].permute(0, 2, 1, 3).reshape((order + 1) * columns, -1)
    if not constant:
        return grid
    total = x.sum(0)
    edges = (
        torch.cat([x.new_zeros(1, columns), x[:order].cumsum(0)]),
        torch.cat([x.new_zeros(1, columns), x[length - order :].flip(0).cumsum(0)]),
    )
    sums = torch.stack([total - edges[0][order - j] - edges[1][j] for j in range(order + 1)])[around].flatten()
    count = x.new_full((1, 1), length - order)
    return torch.cat([torch.cat([count, sums[None]], 1), torch.cat([sums[:, None], grid], 1)])


def lagged(x: Tensor, order: int) -> Tensor:
    """(p + 1, D, D): sums over t = p..L-1 of x_t x_{t-j}^T, j = 0..p.

    Two matrix products of blocks of p rows, a block with itself and with the one before, hold every product of two
    values up to p apart: many times the speed of p + 1 passes over the series.
    """
    length, columns = x.shape
    if not order:
        return (x.T @ x)[None]
    blocks = (length - order) // order
    now, before = (x[at : at + blocks * order].reshape(blocks, -1) for at in (order, 0))
    row = torch.arange(order, device=x.device)
    apart = row[:, None] - row  # rows of a block; those of the block before are `order` further
    sums = x.new_zeros(order + 1, columns, columns)
    for other, lag in ((now, apart), (before, apart + order)):
        product = (now.T @ other).view(order, columns, order, columns).transpose(1, 2)
        near = (lag >= 0) & (lag <= order)
        sums.index_add_(0, lag[near], product[near])
    rest = torch.arange(order * (blocks + 1), length, device=x.device)
    back = torch.arange(order + 1, device=x.device)
    return sums + torch.einsum("td,tje->jde", x[rest], x[rest[:, None] - back])


def triangle(x: Tensor, order: int, trend: str, season: int) -> Tensor:
    """R of (L, D) values: by moments where the lags are well-conditioned, else by Householder QR."""
    if trend in ("n", "c") and not season:
        gram = moments(x, order, trend == "c")
        if conditioned(gram):
            return factor(gram)
    return upper(design(x, order, terms(torch.arange(len(x), device=x.device), trend, season)))


def upper(w: Tensor) -> Tensor:
    """R of W's QR decomposition."""
    r: Tensor = torch.linalg.qr(w, mode="r").R
    return r


def conditioned(gram: Tensor) -> bool:
    """Whether W^T W keeps enough digits, of the lags' correlations and of what they leave of the target."""
    scale = gram.diagonal().sqrt()
    if not (scale > 0).all():
        return False
    spectrum = torch.linalg.eigvalsh(gram / torch.outer(scale, scale))
    return bool(spectrum[0] * CONDITION > spectrum[-1])


def factor(gram: Tensor) -> Tensor:
    """Upper triangular R with R^T R = `gram`, positive semidefinite."""
    r, fault = torch.linalg.cholesky_ex(gram, upper=True)
    if fault.item():
        value, vector = torch.linalg.eigh(gram)
        r = upper(value.clamp_min(0).sqrt()[:, None] * vector.mT)
    return torch.triu(r)


def solved(r: Tensor, count: int, terms: int, columns: int) -> Fit:
    """The fit of the highest order that R has, all columns on the lags of all; of least norm among equals."""
    lags, target = slice(terms, len(r[0]) - columns), slice(len(r[0]) - columns, None)
    beta = r.new_zeros(lags.stop - terms, columns)
    if len(beta):
        beta = torch.linalg.lstsq(r[lags, lags], r[lags, target], driver="gelsd", rcond=1e-12).solution
    left = r[lags, target] - r[lags, lags] @ beta
    sigma = (left.mT @ left + r[lags.stop :, target].mT @ r[lags.stop :, target]) / count
    known = r[:terms, target] - r[:terms, lags] @ beta
    gamma = torch.linalg.lstsq(r[:terms, :terms], known, driver="gelsd", rcond=1e-12).solution if terms else known
    return Fit(gamma.mT, beta.view(-1, columns, columns).mT, sigma)


def columns_of(d: int, order: int, terms: int, columns: int) -> Tensor:
    """Which columns of W are the terms, and the lags and target of column d alone."""
    return torch.cat([torch.arange(terms), terms + d + columns * torch.arange(order + 1)])


def apart(r: Tensor, count: int, order: int, terms: int, columns: int) -> Fit:
    """As `solved`, each column on its own lags alone: phi and sigma are diagonal."""
    fit = Fit(r.new_zeros(columns, terms), r.new_zeros(order, columns, columns), r.new_zeros(columns, columns))
    for d in range(columns):
        own = upper(r[:, columns_of(d, order, terms, columns)]) if columns > 1 else r
        one = solved(own, count, terms, 1)
        fit.gamma[d], fit.phi[:, d, d], fit.sigma[d, d] = one.gamma[0], one.phi[:, 0, 0], one.sigma[0, 0]
    return fit
