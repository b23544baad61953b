"""Recurrent network over characters (Mikolov et al. 2010; Karpathy 2015, "The unreasonable effectiveness of RNNs").

p(x) = prod_t p(x_t | x_<t), with o_t = W_hy h_t and softmax(o_t) the distribution of the next character. The state
starts at 0 and reads a start symbol, an input row of its own, before the first character: windows are independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.draw import pick
from genfoundry.nn.recurrent import Kind, cell, rest
from genfoundry.types import Batch, Clock, Draw, Spec


class CharRnn(GenerativeModel):
    """x (B, T) characters -> (B, T, V) logits, each from the characters before it."""

    class Config(Hyper):
        """`embedding` is for the gated cells alone: the plain cell reads one-hot characters."""

        cell: Kind = "rnn"
        width: int = Field(16, ge=1)
        embedding: int = Field(8, ge=1)

    modalities: ClassVar[tuple[str, ...]] = ("text",)
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 16, "lr": {"model": 8e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def sized(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"cell": "lstm", "width": 256 if items * spec.dims >= 300_000 else 128, "embedding": 64}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 3e-3, "high": 1.5e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels is not None
        self.levels = spec.levels
        self.cell = cell(config.cell, spec.levels + 1, config.width, config.embedding)
        self.w_hy = nn.Linear(config.width, spec.levels, bias=config.cell != "rnn")

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.logits(batch.x)
        nll = F.cross_entropy(logits.flatten(0, 1).float(), batch.x.flatten(), reduction="none")
        return {"nll": nll.view(batch.x.shape).sum(1)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        for losses in super().losses(batch, clock):
            yield {name: loss / self.spec.dims for name, loss in losses.items()}

    def logits(self, x: Tensor) -> Tensor:
        """(B, T) -> (B, T, V): position t holds the logits of x_t."""
        before = torch.cat([x.new_full((len(x), 1), self.levels), x[:, :-1]], 1)
        states, _ = self.cell(before, self.rest(len(x)))
        return self.w_hy(states)  # type: ignore[no-any-return]

    def rest(self, n: int) -> Tensor:
        """The zero state of n texts."""
        return rest(self.config.cell, n, self.config.width, self.device)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """(n, T) characters, which follow the prompt `cond` (n, P) if there is one; P may be any length."""
        seen = torch.full((n, 1), self.levels, device=self.device)
        if cond is not None:
            seen = torch.cat([seen, cond.to(self.device).long()], 1)
        states, state = self.cell(seen, self.rest(n))
        text = seen.new_empty(n, self.spec.shape[0])
        for t in range(text.shape[1]):
            text[:, t] = pick(self.w_hy(states[:, -1]), draw)
            states, state = self.cell(text[:, t : t + 1], state)
        return text
