"""Character-level recurrent network (Mikolov et al. 2010; Karpathy 2015, "The unreasonable effectiveness of RNNs").

p(x) = prod_t p(x_t | x_<t), with o_t = W_hy h_t and softmax(o_t) the distribution of the next character. The state
starts at 0 and reads a start symbol, which has an input row of its own. Windows are independent. A stream passes the
state, and the character that is still to be read, from each piece to the next, where gradients end (truncated
back-propagation through time, Williams and Peng 1990).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.heads.base import upcast
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.nn.sequence.rnn_cells import Kind, build_cell, zero_state
from genfoundry.nn.sequence.rnn_stepper import build_stepper
from genfoundry.types import Batch, Clock, Draw, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

State = tuple[Tensor, Tensor]  # (B,) the character that is still to be read, and the cell's state before it


class CharRnn(GenerativeModel):
    """x (B, T) characters -> (B, T, V) logits of each character given those before it."""

    class Config(Hyper):
        """`embedding` is for the gated cells alone: the plain cell reads one-hot characters."""

        cell: Kind = "rnn"
        width: int = Field(16, ge=1)
        embedding: int = Field(8, ge=1)

    modalities: ClassVar[tuple[str, ...]] = ("text",)
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 16, "lr": {"model": 8e-3}, "betas": [0.9, 0.99]}
    config: Config
    unread: Tensor
    carried: Tensor

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"cell": "lstm", "width": 128, "embedding": 64}
        search = {"train.lr.model": {"low": 3e-3, "high": 1.5e-2, "log": True}}
        if items * spec.dims < 300_000:
            return {"hyper": hyper, "search": search}
        return {"data": {"streams": 64}, "train": {"batch": 32}, "hyper": hyper | {"width": 256}, "search": search}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels is not None
        self.levels = spec.levels
        self.cell = build_cell(config.cell, spec.levels + 1, config.width, config.embedding)  # + 1: the start symbol
        self.w_hy = nn.Linear(config.width, spec.levels, bias=config.cell != "rnn")
        # The state of the training stream
        self.register_buffer("unread", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("carried", torch.zeros(0), persistent=False)

    def begin(self, phase: str, data: Split) -> None:
        self.unread, self.carried = self.unread.new_zeros(0), self.carried.new_zeros(0)

    end = begin

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        return {"nll": self.stream(replace(batch, fresh=None), None)[0]}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        state = None
        if batch.fresh is not None and len(self.unread) == len(batch):  # otherwise it is the first piece of all
            state = self.unread, self.carried
        nll, (unread, carried) = self.stream(batch, state)
        if batch.fresh is not None:
            # Gradients end here; autocast may have computed in a smaller type than that of the buffers
            self.unread, self.carried = unread, carried.detach().to(self.w_hy.weight.dtype)
        yield {"model": nll.mean() / batch.x.shape[1]}  # nats a character

    def stream(self, batch: Batch, state: State | None) -> tuple[Tensor, State]:
        """Return (B,) nats of the pieces (B, L) given what `state` (None: nothing) has read, and the new state."""
        unread, carried = self.initial_state(len(batch)) if state is None else state
        if batch.fresh is not None:
            start = self.initial_state(len(batch))
            unread = torch.where(batch.fresh, start[0], unread)
            carried = torch.where(batch.fresh[:, None], start[1], carried)  # (1 or 2, B, width)
        states, carried = self.cell(torch.cat([unread[:, None], batch.x[:, :-1]], 1), carried)  # (B, L, width)
        logits = upcast(self.w_hy(states))  # (B, L, V)
        nll = F.cross_entropy(logits.flatten(0, 1), batch.x.flatten(), reduction="none")
        return nll.view(batch.x.shape).sum(1), (batch.x[:, -1], carried)  # the last one is still to be read

    def initial_state(self, n: int) -> State:
        """Return the start symbol, and the zero state that is to read it, of n texts."""
        carried = zero_state(self.config.cell, n, self.config.width, self.device)
        return torch.full((n,), self.levels, device=self.device), carried.to(self.w_hy.weight.dtype)

    def order(self) -> Tensor:
        """Return (T,): a character after another."""
        return torch.arange(self.spec.dims, device=self.device)

    def predict(self, batch: Batch) -> Tensor:
        """Return (B, T, V) log-probabilities."""
        unread, carried = self.initial_state(len(batch))
        states, _ = self.cell(torch.cat([unread[:, None], batch.x[:, :-1]], 1), carried)  # (B, T, width)
        return upcast(self.w_hy(states)).log_softmax(-1)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """Draw (n, T) characters, which follow the prompt `cond` (n, P) if there is one; P may be any length."""
        x, state = self.initial_state(n)
        if cond is not None:
            prompt = torch.cat([x[:, None], cond.to(self.device).long()], 1)
            x, (_, state) = prompt[:, -1], self.cell(prompt[:, :-1], state)  # the loop reads the last symbol first
        # Transposed once here, not at every step
        step, weight, bias = build_stepper(self.cell, state), self.w_hy.weight.T.contiguous(), self.w_hy.bias
        text = x.new_empty(self.spec.dims, n)  # time first: a row a step
        for row in text:
            h = step(x)  # (n, width)
            x = sample_categorical(torch.mm(h, weight) if bias is None else torch.addmm(bias, h, weight), draw)
            row.copy_(x)
        return text.T.contiguous()
