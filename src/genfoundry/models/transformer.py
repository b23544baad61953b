"""Decoder-only transformer (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019, "Language models are
unsupervised multitask learners") for characters and for pixels (Chen et al. 2020, "Generative pretraining from
pixels").

p(x) = prod_i p(x_i | x_<i) over a grid of values: a text is one row; an image's rows are rows, the channels of a pixel
side by side. A token stands for `patch` pixels of a row and attends to every token before it; a small network decodes
the values within it one by one (as in MEGABYTE, Yu et al. 2023, arXiv:2305.07185). A token also reads the values near
it, so that the blocks need not find them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genfoundry.models.base import Hyper
from genfoundry.models.families.ancestral import AncestralModel
from genfoundry.nn.autoregressive.ancestral import Canvas, joint_log_prob, raster_order
from genfoundry.nn.autoregressive.attention import Attention
from genfoundry.nn.autoregressive.patch_tokens import PatchDecoder, PatchEmbedding
from genfoundry.nn.heads.simple import Categorical, head_for
from genfoundry.types import Batch, Clock, Spec

CHUNK = 25  # items that are measured together on a CPU: more do not fit its caches


class Transformer(AncestralModel):
    """x (B, *shape) -> the parameters of each value's distribution, (B, head.parameters, dims), in their order."""

    class Config(Hyper):
        """`width`, `layers`, `heads` of the blocks; `embedding`: length of the vector of a level where it is read.

        A token reads the `reach` pixels (characters) before it, at least `patch`, and of `rows` rows above it as far
        aside; of a text also the hashed n-grams of up to `grams` characters before it, in tables of `buckets` rows.
        `patch`: the pixels of a token; `detail`: units that decode them if they are several. `mixtures`: of an image's
        levels; 0: a free probability for each. `labels`: given the class, if there are classes; `measure` then takes a
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
        def _check_heads(self) -> Transformer.Config:
            if self.width % (2 * self.heads):
                raise ValueError(
                    f"expected width to be a multiple of twice the heads, {2 * self.heads}, got {self.width}"
                )
            return self

    modalities: ClassVar[tuple[str, ...]] = ("text", "lines", "images")
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 16, "lr": {"model": 4e-3}, "betas": [0.9, 0.99]}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        hyper: dict[str, Any] = {"width": 64, "layers": 2, "heads": 4}
        if len(spec.shape) == 1:
            buckets = 16384 if items * spec.dims >= 300_000 else 2048
            hyper |= {"embedding": 32, "patch": 1, "grams": 5, "buckets": buckets}
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

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        assert spec.levels is not None
        self.text, w = len(spec.shape) == 1, config.width
        self.classes = spec.classes if config.labels else 0
        free = self.text or not config.mixtures
        self.head = Categorical(1, spec.levels) if free else head_for(Spec((1,), spec.levels), config.mixtures)
        shared = {"embedding", "reach", "rows", "patch", "grams", "buckets"}
        self.reader = PatchEmbedding(spec, w, classes=self.classes, **config.model_dump(include=shared))
        span = self.reader.height * self.reader.across
        self.trunk = Attention(w, config.layers, config.heads, span=span, rotary=self.text, dropout=config.dropout)
        self.patches = PatchDecoder(self.reader, w, config.detail) if self.reader.patch > 1 else None
        self.out = nn.Linear(config.detail if self.patches else w, self.head.parameters)

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    def order(self) -> Tensor:
        return torch.arange(self.spec.dims) if self.text else raster_order(self.spec)

    def _to_sequence(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, dims): the values in their order; a text may have any length."""
        return x if self.text else x.permute(0, 2, 3, 1).flatten(1)

    def _from_sequence(self, values: Tensor) -> Tensor:
        """(B, dims, ...), in their order -> (B, *shape, ...)."""
        if self.text:
            return values
        c, h, w = self.spec.shape
        return values.view(len(values), h, w, c, *values.shape[2:]).movedim(3, 1)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Map (B, *shape) to the head's parameters (B, head.parameters, dims)."""
        values = self._to_sequence(x)  # (B, dims)
        cells = self.reader.embed_grid(values)  # (B, embedding, H, W)
        features = self.trunk(self.reader(values, cells, label))  # (B, M, width)
        if self.patches:
            features = self.patches(features, cells, values.shape[1] // self.reader.height)  # (B, dims, detail)
        parameters: Tensor = self.out(features).movedim(-1, 1)  # (B, head.parameters, dims)
        return parameters

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        yield {"model": self.nll_per_value(batch).mean()}  # nats a value

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        if self.classes:
            everything = torch.ones_like(batch.x, dtype=torch.bool)
            return {"nll": -joint_log_prob(self, batch, everything)[0].logsumexp(1)}  # sums over classes
        size = CHUNK if self.device.type == "cpu" else len(batch)
        chunks = torch.split(batch.x, size)
        return {"nll": torch.cat([self.nll_per_value(Batch(x)).flatten(1).sum(1) for x in chunks])}

    def nll_per_value(self, batch: Batch) -> Tensor:
        """Return (B, *shape): -log p of each value given those before it, and the label."""
        values = self._to_sequence(batch.x)[:, None]  # (B, 1, dims)
        return self._from_sequence(self.head.nll_per_value(self(batch.x, batch.label), values)[:, 0])

    def predict(self, batch: Batch) -> Tensor:
        out = self(batch.x, batch.label)
        return self._from_sequence(self.head.channel_log_probs(out, self._to_sequence(batch.x)[:, None], 0))

    def fill(self, canvas: Canvas, label: Tensor | None = None, prompt: Tensor | None = None) -> None:
        """Draw every value of the canvas; a text follows the prompt (n, P), of any length P."""
        reader, start = self.reader, 0 if prompt is None else prompt.shape[1]
        columns = start + reader.columns
        grid = reader.new_cache(len(canvas.x), columns)
        cache = self.trunk.new_cache(len(canvas.x), grid.positions // reader.patch)
        if prompt is not None and start:
            given = prompt.to(self.device).long()
            reader.write(grid, 0, 0, given)
            state = self._split_token(self.trunk(reader(given, reader.embed_grid(given), label), cache)[:, -1])
        for step, position in enumerate(self.order().tolist()):
            i, j = divmod(start + step, columns)
            if j % reader.patch == 0:  # a new token
                state = self._split_token(self.trunk(reader.step(grid, i, j, label), cache)[:, 0])
            features = self.patches.step(state, grid, i, j) if self.patches else state
            out = self.out(features)[..., None]  # (n, head.parameters, 1)
            value = canvas.put(position, self.head.sample_channel(out, canvas.x, 0, canvas.draw)[:, 0])
            reader.write(grid, i, j, value[:, None])  # what later tokens read

    def _split_token(self, state: Tensor) -> Tensor:
        """A token's state (n, width), or the slots of its values, (n, patch, detail)."""
        return self.patches.split(state) if self.patches else state
