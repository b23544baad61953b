"""Decoder-only transformer (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019, "Language models are
unsupervised multitask learners"), for characters and for pixels alike (Chen et al. 2020, "Generative pretraining from
pixels").

p(x) = prod_i p(x_i | x_<i) over a grid of values: a text is one row; of an image the rows are rows, the channels of a
pixel side by side. A token stands for `patch` pixels of a row and attends to every token before it; what lies within
it, a small network decodes value by value (as in MEGABYTE, Yu et al. 2023, arXiv:2305.07185). A token reads the
values next to it besides, so that the blocks need not find them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.nn.autoregressive.ancestral import Canvas, completed, drawn, joint_log_prob, raster_order
from genfoundry.nn.autoregressive.attention import Attention
from genfoundry.nn.autoregressive.patch_tokens import Patches, Reader
from genfoundry.nn.heads.simple import Categorical, head_for
from genfoundry.types import Batch, Clock, Draw, Spec

PIECE = 25  # items that are measured at once on a CPU: more do not fit its caches


class Transformer(GenerativeModel):
    """x (B, *shape) -> the parameters of each value's distribution, (B, head.parameters, dims), in their order."""

    class Config(Hyper):
        """`width`, `layers`, `heads` of the blocks; `embedding` numbers stand for a level where it is read.

        A token reads the `reach` pixels (characters) before it, at least `patch`, and of `rows` rows above it as far
        aside; of a text it looks up the 1, 2, ..., `grams` characters before it, too, in tables of `buckets` rows.
        `patch`: the pixels of a token; `detail` units decode them if they are several. `mixtures`: of an image's
        levels; 0: a free probability for each. `labels`: told the class, if there are classes; `measure` then takes a
        pass a class.
        """

        width: int = Field(8, ge=2)
        layers: int = Field(2, ge=1)
        heads: int = Field(2, ge=1)
        embedding: int = Field(4, ge=1)
        reach: int = Field(1, ge=1)
        rows: int = Field(1, ge=1)
        patch: int = Field(2, ge=1)
        detail: int = Field(8, ge=1)
        mixtures: int = Field(0, ge=0)
        grams: int = Field(3, ge=0)
        buckets: int = Field(64, ge=1)
        labels: bool = True
        dropout: float = Field(0.0, ge=0, lt=1)

        @model_validator(mode="after")
        def _heads(self) -> Transformer.Config:
            if self.width % (2 * self.heads):
                raise ValueError(f"width {self.width} must be a multiple of twice the heads, {2 * self.heads}")
            return self

    modalities: ClassVar[tuple[str, ...]] = ("text", "lines", "images")
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 16, "lr": {"model": 4e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper: dict[str, Any] = {"width": 64, "layers": 2, "heads": 4}
        if len(spec.shape) == 1:
            big = items * spec.dims >= 300_000
            hyper |= {"embedding": 32, "patch": 1, "grams": 5, "buckets": 16384 if big else 2048}
        else:
            patch = min(16, -(-spec.shape[1] * spec.shape[2] // 128))  # about 128 tokens, as far as one decodes well
            hyper |= {
                "embedding": 8,
                "reach": 3,
                "rows": 2,
                "patch": patch,
                "detail": 64,
                "mixtures": 5,
                "labels": False,
            }
        return {"hyper": hyper, "search": {"train.lr.model": {"low": 2e-3, "high": 8e-3, "log": True}}}

    @classmethod
    def why_unsupported(cls, levels: int | None) -> str:
        return "" if levels else "its values have levels; a task's `levels` is right"

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels is not None
        self.text, w = len(spec.shape) == 1, config.width
        self.classes = spec.classes if config.labels else 0
        free = self.text or not config.mixtures
        self.head = Categorical(1, spec.levels) if free else head_for(Spec((1,), spec.levels), config.mixtures)
        read = {"embedding", "reach", "rows", "patch", "grams", "buckets"}
        self.reader = Reader(spec, w, classes=self.classes, **config.model_dump(include=read))
        span = self.reader.height * self.reader.across
        self.trunk = Attention(w, config.layers, config.heads, span=span, rotary=self.text, dropout=config.dropout)
        self.patches = Patches(self.reader, w, config.detail) if self.reader.patch > 1 else None
        self.out = nn.Linear(config.detail if self.patches else w, self.head.parameters)

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    def order(self) -> Tensor:
        return torch.arange(self.spec.dims) if self.text else raster_order(self.spec)

    def values(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, dims): the values in their order; a text may have any length."""
        return x if self.text else x.permute(0, 2, 3, 1).flatten(1)

    def home(self, values: Tensor) -> Tensor:
        """(B, dims, ...), in their order -> (B, *shape, ...)."""
        if self.text:
            return values
        c, h, w = self.spec.shape
        return values.view(len(values), h, w, c, *values.shape[2:]).movedim(3, 1)

    def parameters_of(self, x: Tensor, label: Tensor | None) -> Tensor:
        """(B, *shape) -> (B, head.parameters, dims)."""
        values = self.values(x)
        cells = self.reader.cells(values)
        found = self.trunk(self.reader(values, cells, label))
        if self.patches:
            found = self.patches(found, cells, values.shape[1] // self.reader.height)
        parameters: Tensor = self.out(found).movedim(-1, 1)
        return parameters

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        yield {"model": self.nll_per_value(batch).mean()}

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        if self.classes:
            return {"nll": -joint_log_prob(self, batch, torch.ones_like(batch.x, dtype=torch.bool))[0].logsumexp(1)}
        size = PIECE if self.device.type == "cpu" else len(batch)
        return {"nll": torch.cat([self.nll_per_value(Batch(x)).flatten(1).sum(1) for x in torch.split(batch.x, size)])}

    def nll_per_value(self, batch: Batch) -> Tensor:
        """(B, *shape): -log p of each value given those before it, and the label."""
        nats = self.head.nll_per_value(self.parameters_of(batch.x, batch.label), self.values(batch.x)[:, None])
        return self.home(nats[:, 0])

    def predict(self, batch: Batch) -> Tensor:
        out = self.parameters_of(batch.x, batch.label)
        return self.home(self.head.scores(out, self.values(batch.x)[:, None], 0))

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """n samples; a text follows the prompt `cond` (n, P), P any length."""
        return drawn(self, n, label, draw, cond)

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        return completed(self, x, known)

    def fill(self, canvas: Canvas, label: Tensor | None = None, prompt: Tensor | None = None) -> None:
        """Put every value on the canvas; each token's keys and values are computed once."""
        reader, begun = self.reader, 0 if prompt is None else prompt.shape[1]
        columns = begun + reader.columns
        paper = reader.paper(len(canvas.x), columns)
        cache = self.trunk.cache(len(canvas.x), paper.places // reader.patch)
        if prompt is not None and begun:
            given = prompt.to(self.device).long()
            reader.write(paper, 0, 0, given)
            state = self.parted(self.trunk(reader(given, reader.cells(given), label), cache)[:, -1])
        for place, position in enumerate(self.order().tolist()):
            i, j = divmod(begun + place, columns)
            if j % reader.patch == 0:
                state = self.parted(self.trunk(reader.at(paper, i, j, label), cache)[:, 0])
            found = self.patches.at(state, paper, i, j) if self.patches else state
            value = canvas.put(position, self.head.pick(self.out(found)[..., None], canvas.x, 0, canvas.draw)[:, 0])
            reader.write(paper, i, j, value[:, None])

    def parted(self, state: Tensor) -> Tensor:
        """A token's state (n, width), or what it says of each of its values, (n, patch, detail)."""
        return self.patches.parted(state) if self.patches else state
