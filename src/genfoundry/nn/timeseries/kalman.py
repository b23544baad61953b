"""Kalman filter of a vector autoregression whose values are observed without noise, or missing (NaN).

The state is the last p rows, the latest first. Components of an observation are processed one by one, and missing ones
are left out (Durbin and Koopman 2012, sections 4.10 and 6.4). All is float64, a batch at a time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

DIFFUSE = 1e3  # prior standard deviation of the rows before a past, in units of the past's own


class Belief(NamedTuple):
    """Distribution of the last p rows: mean (B, pD) and covariance (B, pD, pD)."""

    mean: Tensor
    covariance: Tensor


def companion_matrix(phi: Tensor) -> Tensor:
    """Map (p, D, D) to the transition matrix (pD, pD): a row joins the state, the oldest leaves."""
    order, columns, _ = phi.shape
    step = torch.eye(order * columns, dtype=phi.dtype, device=phi.device).roll(columns, 0)  # shifts rows down
    step[:columns] = phi.transpose(0, 1).flatten(1)  # (D, pD)
    return step


def diffuse_prior(past: Tensor, order: int, sigma: Tensor) -> Belief:
    """Return a vague prior before a past (B, P, D), around its mean; p observed rows outweigh it."""
    mean = past.nanmean(1).nan_to_num()
    deviation = (past - mean[:, None]).square().nanmean(1).nan_to_num() + sigma.diagonal()  # (B, D)
    return Belief(mean.repeat(1, order), torch.diag_embed(DIFFUSE**2 * deviation.repeat(1, order)))


def predict_state(belief: Belief, step: Tensor, offset: Tensor, sigma: Tensor) -> Belief:
    """Predict the state one row later; `offset` (B or 1, D) is gamma d_t."""
    columns = len(sigma)
    mean = belief.mean @ step.mT  # (B, pD)
    covariance = step @ belief.covariance @ step.mT  # (B, pD, pD)
    # Of the state only the newest row has a deterministic part and new noise
    mean = torch.cat([mean[:, :columns] + offset, mean[:, columns:]], 1)
    pad = len(step) - columns
    return Belief(mean, covariance + torch.nn.functional.pad(sigma, (0, pad, 0, pad)))


def update_state(belief: Belief, row: Tensor) -> tuple[Belief, Tensor]:
    """Condition on the newest row (B, D), NaN where missing; returns the belief and the row's log density (B,)."""
    mean, covariance = belief
    density = torch.zeros_like(mean[:, 0])
    for d in range(row.shape[1]):
        observed = ~row[:, d].isnan()
        # A value that is certain has a variance of 0, which may not be divided by
        variance = covariance[:, d, d].clamp_min(torch.finfo(row.dtype).tiny)
        error = torch.where(observed, row[:, d] - mean[:, d], 0.0)  # (B,)
        # (B, pD)
        gain = torch.where(observed[:, None], covariance[:, d] / variance[:, None], 0.0)
        density = density - 0.5 * torch.where(observed, error.square() / variance + (2 * math.pi * variance).log(), 0.0)
        mean = mean + gain * error[:, None]
        covariance = covariance - gain[:, :, None] * covariance[:, d, None]
    return Belief(mean, covariance), density


def filter_series(rows: Tensor, offset: Tensor, phi: Tensor, sigma: Tensor, belief: Belief) -> tuple[Tensor, Belief]:
    """Return log densities (B, T) of rows (B, T, D), each given those before it, and the belief after them.

    `offset` (B or 1, T, D) is gamma d_t; `belief` is that before the first row.
    """
    step, densities = companion_matrix(phi), []
    for t in range(rows.shape[1]):
        belief, density = update_state(predict_state(belief, step, offset[:, t], sigma), rows[:, t])
        densities.append(density)
    return torch.stack(densities, 1), belief


def forecast_state(belief: Belief, offset: Tensor, phi: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return means (B, T, D) and standard deviations (B, T, D) of the next T rows."""
    step, columns, means, variances = companion_matrix(phi), len(sigma), [], []
    for t in range(offset.shape[1]):
        belief = predict_state(belief, step, offset[:, t], sigma)
        means.append(belief.mean[:, :columns])
        # Of the newest row alone, (B, D)
        variances.append(belief.covariance.diagonal(dim1=1, dim2=2)[:, :columns])
    return torch.stack(means, 1), torch.stack(variances, 1).clamp_min(0).sqrt()
