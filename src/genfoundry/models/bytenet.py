"""ByteNet (Kalchbrenner et al. 2016, arXiv:1610.10099): dilated convolutions from one character sequence to another.

The encoder sees the whole source. The decoder, stacked on the encoder's columns, sees the target so far, its
convolutions being causal. Time is linear in the lengths: the source is unfolded to |s| * stretch + slack columns
("dynamic unfolding", section 3.2), and the target goes on until its end, however long it gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import Hyper
from genfoundry.models.families.seq2seq import Seq2seqModel
from genfoundry.nn.sequence.dilated import DilatedStack
from genfoundry.nn.sequence.edit_alignment import EditAlignment, align
from genfoundry.types import Batch, Draw, Spec


class Bytenet(Seq2seqModel):
    """Source (B, S) and target (B, T) characters -> (B, T, V) logits."""

    class Config(Hyper):
        """`width`: channels of a block; `dilations` are gone through `encoder` and `decoder` times.

        `unfold`: the encoder's column that the decoder reads at a position t: "plain", column t, as in the paper;
        "follow", the one where the target so far ends in the source (`nn.sequence.edit_alignment`).
        """

        width: int = Field(16, ge=2)
        kernel: int = Field(3, ge=2)
        dilations: tuple[int, ...] = (1, 2)
        encoder: int = Field(1, ge=1)
        decoder: int = Field(1, ge=1)
        unfold: Literal["plain", "follow"] = "plain"
        stretch: float = Field(1.2, ge=1)
        slack: int = Field(4, ge=0)

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 32, "lr": {"model": 4e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 96, "dilations": [1, 2, 4, 8], "encoder": 2, "decoder": 2, "unfold": "follow"}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 2e-3, "high": 1e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels and spec.cond_shape and spec.cond_levels
        self.columns = int(config.stretch * spec.cond_shape[0]) + config.slack
        width, kernel, dilations = config.width, config.kernel, config.dilations
        # The target's table has a row more, for the start symbol
        self.source, self.target = nn.Embedding(spec.cond_levels, width), nn.Embedding(spec.levels + 1, width)
        self.encoder = DilatedStack(width, kernel=kernel, dilations=config.encoder * dilations, causal=False)
        self.decoder = DilatedStack(width, kernel=kernel, dilations=config.decoder * dilations, causal=True)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, spec.levels)

    def logits(self, batch: Batch) -> Tensor:
        """Return (B, T, V): position t holds the logits of x_t, whatever the length of x."""
        x, source = batch.x, self.close_source(len(batch), batch.cond, batch.cond_mask)
        column = self._columns_read(source, x)[:, :, None].expand(-1, -1, self.config.width)  # (B, T, width)
        # The decoder is stacked on the encoder's columns (section 3.1)
        h = self.target(self.shift_right(x)) + self.encode(source).gather(1, column)  # (B, T, width)
        return self._read_out(self.decoder(h))

    def _read_out(self, h: Tensor) -> Tensor:
        return self.out(F.relu(self.norm(h)))  # type: ignore[no-any-return]

    def encode(self, source: Tensor) -> Tensor:
        """Map (B, S) to (B, columns + 1, width): the unfolded source, then zeros for whatever lies beyond."""
        padded = F.pad(source, (0, self.columns - source.shape[1]), value=self.source_end)
        length = (padded != self.source_end).sum(1, keepdim=True)  # (B, 1)
        column = torch.arange(self.columns, device=source.device)
        inside = (column < (self.config.stretch * length).long() + self.config.slack)[:, :, None]  # (B, columns, 1)
        return F.pad(self.encoder(self.source(padded), inside) * inside, (0, 0, 0, 1))  # (B, columns + 1, width)

    def _columns_read(self, source: Tensor, x: Tensor) -> Tensor:
        """(B, T): the encoder's column that the decoder reads at each position."""
        if self.config.unfold == "follow":
            return align(source, x).clamp_max(self.columns)  # beyond them: the column of zeros
        return torch.arange(x.shape[1], device=x.device).clamp_max(self.columns).expand(len(x), -1)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """Draw (n, T) characters, for sources (n, S) or, without `cond`, empty ones.

        Every position costs the same: each convolution keeps a queue of the inputs that it still reads.
        """
        source = self.close_source(n, cond)
        columns, queues, row = self.encode(source), self.decoder.new_queues(n), torch.arange(n, device=self.device)
        alignment = EditAlignment.start(source, self.spec.dims) if self.config.unfold == "follow" else None

        def next_logits(last: Tensor, t: int) -> Tensor:
            column: int | Tensor = min(t, self.columns)
            if alignment is not None:
                if t:
                    alignment.step(last)
                column = alignment.position.clamp_max(self.columns)
            return self._read_out(self.decoder.step(self.target(last) + columns[row, column], queues, t))

        return self.generate(n, next_logits, draw)
