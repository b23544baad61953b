"""Sampling from categorical distributions: temperature, top-k, top-p (nucleus)."""

from __future__ import annotations

import torch
from torch import Tensor

from genfoundry.types import Draw


def apply_draw(logits: Tensor, draw: Draw) -> Tensor:
    """Return logits (..., V) of the distribution that `draw` asks for; excluded values are -inf.

    Order: temperature, then the `top_k` likeliest, then the smallest set of the likeliest whose mass reaches `top_p`
    (Holtzman et al. 2020, arXiv:1904.09751). Temperature 0 leaves the likeliest value alone.
    """
    logits = logits.float()
    if draw.temperature <= 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.full_like(logits, -torch.inf).scatter(-1, best, 0.0)
    if draw.temperature != 1:
        logits = logits / draw.temperature
    if 0 < draw.top_k < logits.shape[-1]:
        least = logits.topk(draw.top_k, dim=-1).values[..., -1:]  # (..., 1)
        logits = logits.masked_fill(logits < least, -torch.inf)
    if draw.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        mass = ordered.softmax(-1)  # the likeliest first
        # The likeliest value stays, even if its mass alone reaches `top_p`
        before = mass.cumsum(-1) - mass
        excluded = (before >= draw.top_p).index_fill(-1, torch.zeros(1, dtype=torch.int64, device=mass.device), False)
        logits = logits.masked_fill(torch.zeros_like(excluded).scatter(-1, order, excluded), -torch.inf)
    return logits


def sample_categorical(logits: Tensor, draw: Draw = Draw()) -> Tensor:
    """Draw (...) int64 from logits (..., V) with the global generator: one uniform number each.

    Off the CPU this is `multinomial`: cumulative sums have no deterministic kernel on a GPU, and MPS has no float64.
    """
    mass = apply_draw(logits, draw).softmax(-1).flatten(0, -2)  # (N, V)
    if mass.device.type != "cpu":
        return torch.multinomial(mass, 1).view(logits.shape[:-1])
    # In float64, so that the rounding of sums hardly moves the edges between values
    total = mass.double().cumsum(-1)  # (N, V); an excluded value adds 0, so that nothing falls on it
    u = torch.rand(len(mass), 1, dtype=torch.float64, device=mass.device) * total[:, -1:]
    return torch.searchsorted(total, u, right=True).view(logits.shape[:-1])
