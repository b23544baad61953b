"""Sequences that end: the first end symbol closes one, and ends alone follow it, up to a width in common."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LOOK = 16  # positions between two looks at whether every sequence has ended: each waits for the device


def inside(x: Tensor, end: int) -> Tensor:
    """(B, T) -> whether a symbol stands in the sequence, its first end included."""
    ends = (x == end).long()
    return ends.cumsum(1) - ends == 0


def closed(x: Tensor, end: int, mask: Tensor | None = None) -> Tensor:
    """x (B, T) with nothing but ends after its first one, or where `mask` is false."""
    kept = inside(x, end) if mask is None else mask.to(x.device)
    return x.masked_fill(~kept, end)


def closing(logits: Tensor, over: Tensor, end: int) -> Tensor:
    """(..., V) logits -> (..., V) log-probabilities; where a sequence is `over` (...) an end has probability 1."""
    other = torch.arange(logits.shape[-1], device=logits.device) != end
    only = torch.zeros_like(logits).masked_fill(other, -torch.inf)
    return torch.where(over[..., None], only, logits.log_softmax(-1))


def predicted(logits: Tensor, x: Tensor, end: int) -> Tensor:
    """(B, T, V) logits -> (B, T, V) log-probabilities given the symbols of x before each."""
    return closing(logits, ~inside(x, end), end)


def nats(logits: Tensor, x: Tensor, end: int) -> Tensor:
    """(B, T, V) logits -> (B,) nats of x up to its first end; infinite where anything but ends follows."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    each = F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").view(x.shape)
    counts = inside(x, end)
    cannot = (~counts & (x != end)).any(1)
    return (each * counts).sum(1).masked_fill(cannot, torch.inf)
