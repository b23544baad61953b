"""Recurrent encoder-decoder over characters (Sutskever et al. 2014, arXiv:1409.3215): the reference for ByteNet.

An LSTM reads the source from its end to its start. Its last state is the first state of the decoder's LSTM, which also
reads it at every step besides the character before. All that the target takes from the source goes through that state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import Hyper
from genfoundry.models.families.seq2seq import Seq2seqModel
from genfoundry.nn.sequence.rnn_cells import GatedCell, zero_state
from genfoundry.types import Batch, Draw, Spec


class CharSeq2seq(Seq2seqModel):
    """Source (B, S) and target (B, T) characters -> (B, T, V) logits."""

    class Config(Hyper):
        """`width`: of both states."""

        width: int = Field(16, ge=1)
        embedding: int = Field(8, ge=1)

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 32, "lr": {"model": 5e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 256 if items >= 50_000 else 112, "embedding": 32}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 2e-3, "high": 1e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels and spec.cond_levels
        width, embedding = config.width, config.embedding
        self.encoder = GatedCell(spec.cond_levels, width, kind="lstm", embedding=embedding)
        self.decoder = GatedCell(spec.levels + 1, width, kind="lstm", embedding=embedding, beside=width)
        self.out = nn.Linear(width, spec.levels)

    def logits(self, batch: Batch) -> Tensor:
        state = self.encode(self.close_source(len(batch), batch.cond, batch.cond_mask))  # (2, B, width): h, c
        states, _ = self.decoder(self.shift_right(batch.x), state, state[0])  # (B, T, width)
        return self.out(states)  # type: ignore[no-any-return]

    def encode(self, source: Tensor) -> Tensor:
        """Map sources (n, S) to the state after them, (2, n, width)."""
        start = zero_state("lstm", len(source), self.config.width, self.device).to(self.out.weight)
        _, state = self.encoder(source.flip(1), start)  # reversed: near symbols of both stay near (section 3.3)
        return state  # type: ignore[no-any-return]

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """Draw (n, T) characters, for sources (n, S) or, without `cond`, empty ones."""
        state = self.encode(self.close_source(n, cond))
        beside = state[0]  # (n, width), read at every step

        def next_logits(last: Tensor, t: int) -> Tensor:
            nonlocal state
            states, state = self.decoder(last[:, None], state, beside)  # (n, 1, width)
            return self.out(states[:, -1])  # type: ignore[no-any-return]

        return self.generate(n, next_logits, draw)
