"""Sequences that end: the first end symbol closes one, and ends alone follow it, up to a width in common."""

from __future__ import annotations

import torch
from torch import Tensor


def inside(x: Tensor, end: int) -> Tensor:
    """(B, T) -> whether a symbol stands in the sequence, its first end included."""
    ends = (x == end).long()
    return ends.cumsum(1) - ends == 0


def closing(logits: Tensor, over: Tensor, end: int) -> Tensor:
    """(..., V) logits -> (..., V) log-probabilities; where a sequence is `over` (...) an end has probability 1."""
    only = logits.new_zeros(logits.shape[-1]).masked_fill(torch.arange(logits.shape[-1], device=logits.device) != end, -torch.inf)
    return torch.where(over[..., None], only, logits.log_softmax(-1))


def predicted(logits: Tensor, x: Tensor, end: int) -> Tensor:
    """(B, T, V) logits -> (B, T, V) log-probabilities given the symbols of x before each."""
    return closing(logits, ~inside(x, end), end)


def nats(logits: Tensor, x: Tensor, end: int) -> Tensor:
    """(B, T, V) logits -> (B,) nats of x up to its first end; infinite where anything but ends follows."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").view(x.shape)
    counts = inside(x, end)
    cannot = (~counts & (x != end)).any(1)
    return (each * counts).sum(1).masked_fill(cannot, torch.inf)
