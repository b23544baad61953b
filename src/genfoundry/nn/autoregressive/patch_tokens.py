"""Patch tokens of a causal transformer: values in raster order -> tokens, and tokens -> features of their values.

A grid is read row by row: a text is one row; an image's rows are rows, the channels of a pixel side by side.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.autoregressive.causal_grid import CausalConv, GridCache
from genfoundry.nn.autoregressive.ngram_embedding import NgramEmbedding
from genfoundry.types import Spec


class PatchEmbedding(nn.Module):
    """Levels (B, N) -> tokens (B, M, width), each of which stands for `patch` pixels (characters) of a row.

    A token is given what lies before it (`CausalConv`, for text also `NgramEmbedding`), its class and, of an image, its
    row and column. Positions in a text, which may have any length, are left to rotary embedding.
    """

    def __init__(
        self,
        spec: Spec,
        width: int,
        *,
        embedding: int,
        reach: int,
        rows: int,
        patch: int,
        grams: int,
        buckets: int,
        classes: int,
    ) -> None:
        super().__init__()
        assert spec.levels is not None
        self.text, self.classes = len(spec.shape) == 1, classes
        channels, self.height, columns = (1, 1, *spec.shape) if self.text else spec.shape
        self.columns, self.patch, self.aside = columns * channels, patch * channels, reach * channels
        self.across, self.rows = -(-self.columns // self.patch), 0 if self.text else rows  # tokens a row
        self.levels = nn.Embedding(spec.levels, embedding)
        near = max(self.aside, self.patch)
        self.before = CausalConv(embedding, width, reach=near, rows=self.rows, aside=self.aside, stride=self.patch)
        self.grams = NgramEmbedding(grams, buckets, embedding, width) if self.text and grams else None
        self.label = nn.Embedding(classes + 1, width) if classes else None  # the last: unlabelled
        if not self.text:
            self.levels.weight.data.copy_(smooth_embedding(*self.levels.weight.shape))
            self.row = nn.Parameter(0.1 * torch.randn(self.height, 1, width))
            self.column = nn.Parameter(0.1 * torch.randn(self.across, width))

    def embed_grid(self, values: Tensor) -> Tensor:
        """Map (B, N) to (B, embedding, H, W), each row padded with zeros to whole tokens; a text may have any N."""
        cells: Tensor = self.levels(values).view(len(values), self.height, -1, self.levels.embedding_dim)
        return F.pad(cells, (0, 0, 0, -cells.shape[2] % self.patch)).movedim(-1, 1)

    def forward(self, values: Tensor, cells: Tensor, label: Tensor | None) -> Tensor:
        tokens = self.before(cells).movedim(1, -1)  # (B, H, W / patch, width)
        if self.grams is not None:
            tokens = tokens + self.grams(values)[:, None, :: self.patch]  # (B, 1, M, width)
        if not self.text:
            tokens = tokens + self.row + self.column  # (H, 1, width) + (W / patch, width)
        return self._add_class(tokens.flatten(1, 2), label)

    def _add_class(self, tokens: Tensor, label: Tensor | None) -> Tensor:
        if self.label is None:
            return tokens
        unlabelled = torch.full((len(tokens),), self.classes, device=tokens.device)
        index = unlabelled if label is None else torch.where(label < 0, self.classes, label)
        conditioned: Tensor = tokens + self.label(index)[:, None]  # (B, M, width)
        return conditioned

    def new_cache(self, n: int, columns: int) -> GridCache:
        """Return an empty grid whose rows have `columns` values."""
        size, history = (self.height, -(-columns // self.patch) * self.patch), self.grams.longest if self.grams else 0
        return GridCache(self.levels.weight, n, size, self.before, history)

    def write(self, cache: GridCache, row: int, column: int, values: Tensor) -> None:
        """Write values (n, m) into a row of the cache."""
        cache.put(row, column, values, self.levels(values).movedim(-1, 1))

    def step(self, cache: GridCache, row: int, column: int, label: Tensor | None) -> Tensor:
        """Return (n, 1, width): the token that starts at a position, once all values before it are in the cache."""
        token = self.before.step(cache, row, column)[:, None]
        if self.grams is not None:
            token = token + self.grams.step(cache.past(column))
        if not self.text:
            token = token + self.row[row] + self.column[column // self.patch]
        return self._add_class(token, label)


class PatchDecoder(nn.Module):
    """The state of a token -> features of each of its `patch` values, given the values before it: (B, N, detail)."""

    def __init__(self, embedding: PatchEmbedding, width: int, detail: int) -> None:
        super().__init__()
        self.patch, self.columns = embedding.patch, embedding.columns
        self.slots = nn.Linear(width, self.patch * detail)  # one slot a value
        # At least the values of the same token that are before a position
        near, inputs = max(embedding.aside, self.patch - 1), embedding.levels.embedding_dim
        self.before = CausalConv(inputs, detail, reach=near, rows=embedding.rows, aside=embedding.aside)
        self.inner = nn.Sequential(nn.ReLU(), nn.Linear(detail, detail), nn.ReLU())

    def forward(self, states: Tensor, cells: Tensor, columns: int) -> Tensor:
        """Map states (B, M, width) and the embedded grid; of a row the first `columns` are values, the rest padding."""
        near = self.before(cells).movedim(1, -1)  # (B, H, W, detail)
        features: Tensor = self.inner((self.slots(states).view_as(near) + near)[:, :, :columns])
        return features.flatten(1, 2)

    def split(self, state: Tensor) -> Tensor:
        """Map a token's state (n, width) to the slots of its values (n, patch, detail)."""
        slots: Tensor = self.slots(state)
        return slots.view(len(state), self.patch, -1)

    def step(self, slots: Tensor, cache: GridCache, row: int, column: int) -> Tensor:
        """Return (n, detail) at one position, from the slots of its token."""
        features: Tensor = self.inner(slots[:, column % self.patch] + self.before.step(cache, row, column))
        return features


def smooth_embedding(levels: int, size: int) -> Tensor:
    """Return (levels, size): initial vectors of ordered levels (random Fourier features), near for near levels."""
    value = torch.linspace(-2, 2, levels)[:, None]
    return math.sqrt(2.0) * torch.sin(value * torch.randn(size) + torch.randn(size))
