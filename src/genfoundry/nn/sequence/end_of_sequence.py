"""Sequences that end: the first end symbol closes a sequence, and end symbols alone pad it to a common length."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CHECK_EVERY = 16  # positions between two checks whether every sequence has ended: each one waits for the device


def mask_inside(x: Tensor, end: int) -> Tensor:
    """Return (B, T) bool: whether a symbol belongs to the sequence, its first end included."""
    ends = (x == end).long()
    return ends.cumsum(1) - ends == 0  # no end before this position


def pad_with_ends(x: Tensor, end: int, mask: Tensor | None = None) -> Tensor:
    """Replace what follows the first end of x (B, T), or where `mask` is false, by ends."""
    inside = mask_inside(x, end) if mask is None else mask.to(x.device)
    return x.masked_fill(~inside, end)


def force_ends(logits: Tensor, ended: Tensor, end: int) -> Tensor:
    """Return (..., V) log-probabilities, with probability 1 of an end where a sequence has `ended` (...)."""
    other = torch.arange(logits.shape[-1], device=logits.device) != end
    only_end = torch.zeros_like(logits).masked_fill(other, -torch.inf)
    return torch.where(ended[..., None], only_end, logits.log_softmax(-1))  # (..., V)


def log_probs(logits: Tensor, x: Tensor, end: int) -> Tensor:
    """Map logits (B, T, V) to log-probabilities given the symbols of x before each."""
    return force_ends(logits, ~mask_inside(x, end), end)


def sequence_nll(logits: Tensor, x: Tensor, end: int) -> Tensor:
    """Return (B,) nats of x up to its first end, from logits (B, T, V); infinite if anything but ends follows."""
    logits = logits if logits.dtype == torch.float64 else logits.float()  # not in autocast's bfloat16
    nll = F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").view(x.shape)
    inside = mask_inside(x, end)
    impossible = (~inside & (x != end)).any(1)  # (B,)
    return (nll * inside).sum(1).masked_fill(impossible, torch.inf)
