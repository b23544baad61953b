"""Sequence-to-sequence models over characters: p(target | source) = prod_t p(x_t | x_<t, source), exactly.

The end of a sequence is the last of its levels; what follows the first end costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.nn.sequence.end_of_sequence import (
    CHECK_EVERY,
    force_ends,
    log_probs,
    mask_inside,
    pad_with_ends,
    sequence_nll,
)
from genfoundry.types import Batch, Clock, Draw, Spec


class Seq2seqModel(GenerativeModel):
    """Source (B, S) and target (B, T) characters -> (B, T, V) logits; a subclass defines `logits` and `sample`."""

    modalities: ClassVar[tuple[str, ...]] = ("pairs",)

    def __init__(self, spec: Spec, config: Hyper) -> None:
        super().__init__(spec, config)
        assert spec.levels and spec.cond_shape and spec.cond_levels
        self.target_end, self.source_end = spec.levels - 1, spec.cond_levels - 1
        self.start = spec.levels  # an input symbol that stands before every target

    def logits(self, batch: Batch) -> Tensor:
        """Return (B, T, V): position t holds the logits of x_t."""
        raise NotImplementedError

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        return {"nll": sequence_nll(self.logits(batch), batch.x, self.target_end)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        characters = mask_inside(batch.x, self.target_end).sum()  # of the batch, ends included
        yield {"model": self.measure(batch)["nll"].sum() / characters}  # nats a character

    def order(self) -> Tensor:
        """Return (T,): a character after another."""
        return torch.arange(self.spec.dims)

    def predict(self, batch: Batch) -> Tensor:
        """Return (B, T, V) log-probabilities."""
        return log_probs(self.logits(batch), batch.x, self.target_end)

    def translate(self, cond: Tensor, cond_mask: Tensor | None = None) -> Tensor:
        """Map (B, S) to (B, T) by greedy decoding: at every position the likeliest character."""
        source = self.close_source(len(cond), cond, cond_mask)
        return self.sample(len(cond), source, draw=Draw(temperature=0.0))

    def shift_right(self, x: Tensor) -> Tensor:
        """Return the decoder's input (B, T): the start symbol, then x without its last character."""
        return torch.cat([x.new_full((len(x), 1), self.start), x[:, :-1]], 1)

    def close_source(self, n: int, cond: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """Return sources (n, S) with ends after the last symbol; empty ones without `cond`."""
        if cond is None:
            return torch.full((n, *(self.spec.cond_shape or ())), self.source_end, device=self.device)
        return pad_with_ends(cond.to(self.device).long(), self.source_end, mask)

    def generate(self, n: int, next_logits: Callable[[Tensor, int], Tensor], draw: Draw) -> Tensor:
        """Draw (n, T) characters; `next_logits(last (n,), t)` returns the logits (n, V) of position t."""
        text = torch.full((n, self.spec.dims), self.target_end, device=self.device)
        last = torch.full((n,), self.start, device=self.device)
        ended = torch.zeros(n, dtype=torch.bool, device=self.device)
        for t in range(self.spec.dims):
            # The check waits for the device
            if t % CHECK_EVERY == 0 and t and bool(ended.all()):
                break
            last = sample_categorical(force_ends(next_logits(last, t), ended, self.target_end), draw)
            ended = ended | (last == self.target_end)  # (n,)
            text[:, t] = last
        return text
