"""The Kalman filter of a vector autoregression whose values are seen without noise, or missing (NaN).

The state is the last p rows, the latest first (Durbin and Koopman 2012, 4.10 and 6.4: components of an observation are
taken in one by one, and those that are missing are left out). All in float64, a batch at a time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

VAGUE = 1e3  # deviations of what is known of the rows before a past: in units of the past's own


class Belief(NamedTuple):
    """What is known of the last p rows: mean (B, pD) and covariance (B, pD, pD)."""

    mean: Tensor
    covariance: Tensor


def companion(phi: Tensor) -> Tensor:
    """(p, D, D) -> (pD, pD): a row joins the state, the oldest leaves."""
    order, columns, _ = phi.shape
    step = torch.eye(order * columns, dtype=phi.dtype, device=phi.device).roll(columns, 0)
    step[:columns] = phi.transpose(0, 1).flatten(1)
    return step


def vague(past: Tensor, order: int, sigma: Tensor) -> Belief:
    """Before a past (B, P, D): rows of its mean, give or take `VAGUE` times its deviation; p seen rows outweigh it."""
    mean = past.nanmean(1).nan_to_num()
    deviation = (past - mean[:, None]).square().nanmean(1).nan_to_num() + sigma.diagonal()
    return Belief(mean.repeat(1, order), torch.diag_embed(VAGUE**2 * deviation.repeat(1, order)))


def advanced(belief: Belief, step: Tensor, offset: Tensor, sigma: Tensor) -> Belief:
    """A row later, before it is seen; `offset` (B or 1, D) is gamma d_t."""
    columns = len(sigma)
    mean = belief.mean @ step.mT
    covariance = step @ belief.covariance @ step.mT
    mean = torch.cat([mean[:, :columns] + offset, mean[:, columns:]], 1)
    pad = len(step) - columns
    return Belief(mean, covariance + torch.nn.functional.pad(sigma, (0, pad, 0, pad)))


def seen(belief: Belief, row: Tensor) -> tuple[Belief, Tensor]:
    """The belief once the newest row (B, D) is seen, NaN where it is not, and the row's log density (B,)."""
    mean, covariance = belief
    density = torch.zeros_like(mean[:, 0])
    for d in range(row.shape[1]):
        there = ~row[:, d].isnan()
        variance = covariance[:, d, d].clamp_min(torch.finfo(row.dtype).tiny)
        error = torch.where(there, row[:, d] - mean[:, d], 0.0)
        gain = torch.where(there[:, None], covariance[:, d] / variance[:, None], 0.0)
        density = density - 0.5 * torch.where(there, error.square() / variance + (2 * math.pi * variance).log(), 0.0)
        mean = mean + gain * error[:, None]
        covariance = covariance - gain[:, :, None] * covariance[:, d, None]
    return Belief(mean, covariance), density


def filtered(rows: Tensor, offset: Tensor, phi: Tensor, sigma: Tensor, belief: Belief) -> tuple[Tensor, Belief]:
    """Log densities (B, T) of rows (B, T, D), each given those before it, and the belief after them.

    `offset` (B or 1, T, D) is gamma d_t; `belief` is that before the first row.
    """
    step, found = companion(phi), []
    for t in range(rows.shape[1]):
        belief, density = seen(advanced(belief, step, offset[:, t], sigma), rows[:, t])
        found.append(density)
    return torch.stack(found, 1), belief


def ahead(belief: Belief, offset: Tensor, phi: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Means (B, T, D) and deviations (B, T, D) of the next T rows."""
    step, columns, means, variances = companion(phi), len(sigma), [], []
    for t in range(offset.shape[1]):
        belief = advanced(belief, step, offset[:, t], sigma)
        means.append(belief.mean[:, :columns])
        variances.append(belief.covariance.diagonal(dim1=1, dim2=2)[:, :columns])
    return torch.stack(means, 1), torch.stack(variances, 1).clamp_min(0).sqrt()
