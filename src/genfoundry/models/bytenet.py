"""ByteNet (Kalchbrenner et al. 2016, arXiv:1610.10099): dilated convolutions from one sequence to another, in time
linear in their lengths.

The encoder sees the whole source; the decoder, stacked on the encoder's columns, sees the target so far, its
convolutions masked. The source is unfolded to a |s| + b columns of its own, and the target goes on until its end,
however long it gets. p(target | source) = prod_t p(x_t | x_<t, source), exact; the end is the last of the levels, and
what follows the first one costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.nn.sequence.dilated import Stack
from genfoundry.nn.sequence.edit_alignment import Followed, places
from genfoundry.nn.sequence.end_of_sequence import LOOK, closed, closing, inside, nats, predicted
from genfoundry.types import Batch, Clock, Draw, Spec


class Bytenet(GenerativeModel):
    """Source (B, S) and target (B, T) characters -> (B, T, V) logits."""

    class Config(Hyper):
        """`width`: channels of a block; `dilations` are gone through `encoder` and `decoder` times.

        `unfold`: which of the encoder's columns the decoder stands on at a position t: "plain", column t, as in the
        paper; "follow", the one where the target so far ends in the source (`nn.follow`).
        """

        width: int = Field(16, ge=2)
        kernel: int = Field(3, ge=2)
        dilations: tuple[int, ...] = (1, 2)
        encoder: int = Field(1, ge=1)
        decoder: int = Field(1, ge=1)
        unfold: Literal["plain", "follow"] = "plain"
        stretch: float = Field(1.2, ge=1)
        slack: int = Field(4, ge=0)

    modalities: ClassVar[tuple[str, ...]] = ("pairs",)
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 32, "lr": {"model": 4e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper = {"width": 96, "dilations": [1, 2, 4, 8], "encoder": 2, "decoder": 2, "unfold": "follow"}
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 2e-3, "high": 1e-2, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels and spec.cond_shape and spec.cond_levels
        self.target_end, self.source_end = spec.levels - 1, spec.cond_levels - 1  # the last symbol of each
        self.columns = self.unfolded(spec.cond_shape[0])
        width, kernel, dilations = config.width, config.kernel, config.dilations
        self.source, self.target = nn.Embedding(spec.cond_levels, width), nn.Embedding(spec.levels + 1, width)
        self.encoder = Stack(width, kernel=kernel, dilations=config.encoder * dilations, causal=False)
        self.decoder = Stack(width, kernel=kernel, dilations=config.decoder * dilations, causal=True)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, spec.levels)

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
        """(B, T, V): position t holds the logits of x_t, whatever the length of x."""
        x, cond = batch.x, self.given(len(batch), batch.cond, batch.cond_mask)
        before = torch.cat([x.new_full((len(x), 1), self.target_end + 1), x[:, :-1]], 1)
        stand = self.stand(cond, x)  # (B, T)
        h = self.target(before) + self.encode(cond).gather(1, stand[:, :, None].expand(-1, -1, self.config.width))
        return self.read(self.decoder(h))

    def read(self, h: Tensor) -> Tensor:
        return self.out(F.relu(self.norm(h)))  # type: ignore[no-any-return]

    def unfolded(self, length: int) -> int:
        return int(self.config.stretch * length) + self.config.slack

    def encode(self, cond: Tensor) -> Tensor:
        """(B, S) -> (B, columns + 1, width): the source unfolded, and a column of zeros for whatever lies beyond."""
        padded = F.pad(cond, (0, self.columns - cond.shape[1]), value=self.source_end)
        length = (padded != self.source_end).sum(1, keepdim=True)
        place = torch.arange(self.columns, device=cond.device)
        within = (place < (self.config.stretch * length).long() + self.config.slack)[:, :, None]
        return F.pad(self.encoder(self.source(padded), within) * within, (0, 0, 0, 1))

    def given(self, n: int, cond: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """(n, S) sources, each closed by ends; empty without `cond`."""
        if cond is None:
            return torch.full((n, *(self.spec.cond_shape or ())), self.source_end, device=self.device)
        return closed(cond.to(self.device).long(), self.source_end, mask)

    def stand(self, cond: Tensor, x: Tensor) -> Tensor:
        """(B, T): the column that the decoder stands on at each position."""
        if self.config.unfold == "follow":
            return places(cond, x).clamp_max(self.columns)
        return torch.arange(x.shape[1], device=x.device).clamp_max(self.columns).expand(len(x), -1)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """(n, T) characters, ends after the first one: of each source (n, S), of empty ones without `cond`.

        A position costs the same wherever it stands: every convolution keeps a queue of what it still looks at.
        """
        cond = self.given(n, cond)
        columns, queues = self.encode(cond), self.decoder.queues(n)
        length, row = self.spec.shape[0], torch.arange(n, device=self.device)
        followed = Followed.start(cond, length) if self.config.unfold == "follow" else None
        text = torch.full((n, length), self.target_end, device=self.device)
        last, over = torch.full((n,), self.target_end + 1, device=self.device), torch.zeros_like(row, dtype=torch.bool)
        for t in range(length):
            if t % LOOK == 0 and t and bool(over.all()):
                break
            place = min(t, self.columns) if followed is None else followed.place.clamp_max(self.columns)
            h = self.decoder.step(self.target(last) + columns[row, place], queues, t)
            last = sample_categorical(closing(self.read(h), over, self.target_end), draw)
            over = over | (last == self.target_end)
            text[:, t] = last
            if followed is not None:
                followed.step(last)
        return text

    def translate(self, cond: Tensor, cond_mask: Tensor | None = None) -> Tensor:
        """(B, S) -> (B, T): at every position the likeliest character."""
        return self.sample(len(cond), self.given(len(cond), cond, cond_mask), draw=Draw(temperature=0.0))
