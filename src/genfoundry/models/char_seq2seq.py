"""Recurrent encoder and decoder over characters (Sutskever et al. 2014, arXiv:1409.3215): what ByteNet is set against.

An LSTM reads the source from its end to its start; its last state is where the decoder's LSTM begins, and what that
reads at every step besides the character before. All that the target takes from the source goes through that state.
The end is the last of the levels, and what follows the first one costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.nn.sequence.end_of_sequence import LOOK, closed, closing, inside, nats, predicted
from genfoundry.nn.sequence.rnn_cells import GatedCell, rest
from genfoundry.types import Batch, Clock, Draw, Spec


class CharSeq2seq(GenerativeModel):
    """Source (B, S) and target (B, T) characters -> (B, T, V) logits."""

    class Config(Hyper):
        """`width`: of both states."""

        width: int = Field(16, ge=1)
        embedding: int = Field(8, ge=1)

    modalities: ClassVar[tuple[str, ...]] = ("pairs",)
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 32, "lr": {"model": 5e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 256 if items >= 50_000 else 112, "embedding": 32}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 2e-3, "high": 1e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels and spec.cond_shape and spec.cond_levels
        self.target_end, self.source_end = spec.levels - 1, spec.cond_levels - 1
        width, embedding = config.width, config.embedding
        self.encoder = GatedCell(spec.cond_levels, width, kind="lstm", embedding=embedding)
        self.decoder = GatedCell(spec.levels + 1, width, kind="lstm", embedding=embedding, beside=width)
        self.out = nn.Linear(width, spec.levels)

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        return {"nll": nats(self.logits(batch), batch.x, self.target_end)}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        yield {"model": self.measure(batch)["nll"].sum() / inside(batch.x, self.target_end).sum()}  # a character

    def order(self) -> Tensor:
        """(T,): a character after another."""
        return torch.arange(self.spec.dims)

    def predict(self, batch: Batch) -> Tensor:
        """(B, T, V) log-probabilities."""
        return predicted(self.logits(batch), batch.x, self.target_end)

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, V): position t holds the logits of x_t."""
        x, state = batch.x, self.read(len(batch), batch.cond, batch.cond_mask)
        before = torch.cat([x.new_full((len(x), 1), self.target_end + 1), x[:, :-1]], 1)
        states, _ = self.decoder(before, state, state[0])
        return self.out(states)  # type: ignore[no-any-return]

    def read(self, n: int, cond: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """The state (2, n, width) after n sources (n, S), empty ones without `cond`."""
        if cond is None:
            cond = torch.full((n, *(self.spec.cond_shape or ())), self.source_end)
        source = closed(cond.to(self.device).long(), self.source_end, mask)
        _, state = self.encoder(source.flip(1), rest("lstm", n, self.config.width, self.device).to(self.out.weight))
        return state  # type: ignore[no-any-return]

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """(n, T) characters, ends after the first one: of each source (n, S), of empty ones without `cond`."""
        return self.written(self.read(n, cond), draw)

    @torch.no_grad()
    def translate(self, cond: Tensor, cond_mask: Tensor | None = None) -> Tensor:
        """(B, S) -> (B, T): at every position the likeliest character."""
        return self.written(self.read(len(cond), cond, cond_mask), Draw(temperature=0.0))

    def written(self, state: Tensor, draw: Draw) -> Tensor:
        """The state (2, n, width) that the encoder ended in -> (n, T)."""
        n, beside = state.shape[1], state[0]
        text = torch.full((n, self.spec.dims), self.target_end, device=self.device)
        last = torch.full((n, 1), self.target_end + 1, device=self.device)
        over = torch.zeros(n, dtype=torch.bool, device=self.device)
        for t in range(self.spec.dims):
            if t % LOOK == 0 and t and bool(over.all()):
                break
            states, state = self.decoder(last, state, beside)
            text[:, t] = sample_categorical(closing(self.out(states[:, -1]), over, self.target_end), draw)
            last = text[:, t : t + 1]
            over = over | (text[:, t] == self.target_end)
        return text
