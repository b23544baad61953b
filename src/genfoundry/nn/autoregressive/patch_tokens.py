"""Values in their order -> the tokens of a transformer, and tokens -> what their values are predicted from.

A grid is read row by row: a text is one row; of an image the rows are rows, the channels of a pixel side by side.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.autoregressive.causal_grid import Before, Paper
from genfoundry.nn.autoregressive.ngram_embedding import Grams
from genfoundry.types import Spec


class Reader(nn.Module):
    """(B, N) levels -> tokens (B, M, width), each of which stands for `patch` pixels (characters) of a row.

    A token is told what lies before it (`Before`, of a text also `Grams`), its class, and of an image its row and
    column; the place in a text, which may go on for ever, is for rotation to tell.
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
        self.across, self.rows = -(-self.columns // self.patch), 0 if self.text else rows
        self.levels = nn.Embedding(spec.levels, embedding)
        near = max(self.aside, self.patch)
        self.before = Before(embedding, width, reach=near, rows=self.rows, aside=self.aside, stride=self.patch)
        self.grams = Grams(grams, buckets, embedding, width) if self.text and grams else None
        self.label = nn.Embedding(classes + 1, width) if classes else None  # the last: unlabelled
        if not self.text:
            self.levels.weight.data.copy_(curved(*self.levels.weight.shape))
            self.row = nn.Parameter(0.1 * torch.randn(self.height, 1, width))
            self.column = nn.Parameter(0.1 * torch.randn(self.across, width))

    def cells(self, values: Tensor) -> Tensor:
        """(B, N) -> (B, embedding, H, W): embedded, each row filled up with zeros to whole tokens; any N of a text."""
        read: Tensor = self.levels(values).view(len(values), self.height, -1, self.levels.embedding_dim)
        return F.pad(read, (0, 0, 0, -read.shape[2] % self.patch)).movedim(-1, 1)

    def forward(self, values: Tensor, cells: Tensor, label: Tensor | None) -> Tensor:
        tokens = self.before(cells).movedim(1, -1)  # (B, H, W / patch, width)
        if self.grams is not None:
            tokens = tokens + self.grams(values)[:, None, :: self.patch]
        if not self.text:
            tokens = tokens + self.row + self.column
        return self.told(tokens.flatten(1, 2), label)

    def told(self, tokens: Tensor, label: Tensor | None) -> Tensor:
        """Tokens (B, M, width) that know the class, if there are classes."""
        if self.label is None:
            return tokens
        none = torch.full((len(tokens),), self.classes, device=tokens.device)
        told: Tensor = (
            tokens + self.label(none if label is None else torch.where(label < 0, self.classes, label))[:, None]
        )
        return told

    def paper(self, n: int, columns: int) -> Paper:
        """A grid to be filled, its rows of so many values."""
        size, past = (self.height, -(-columns // self.patch) * self.patch), self.grams.longest if self.grams else 0
        return Paper(self.levels.weight, n, size, self.before, past)

    def write(self, paper: Paper, row: int, column: int, values: Tensor) -> None:
        """Put values (n, m) on a row of the paper."""
        paper.put(row, column, values, self.levels(values).movedim(-1, 1))

    def at(self, paper: Paper, row: int, column: int, label: Tensor | None) -> Tensor:
        """(n, 1, width): the token that starts at a place, once all before it is on the paper."""
        token = self.before.at(paper, row, column)[:, None]
        if self.grams is not None:
            token = token + self.grams.at(paper.past(column))
        if not self.text:
            token = token + self.row[row] + self.column[column // self.patch]
        return self.told(token, label)


class Patches(nn.Module):
    """A token's state -> one for each of its `patch` values, told what lies before the value: (B, N, detail)."""

    def __init__(self, reader: Reader, width: int, detail: int) -> None:
        super().__init__()
        self.patch, self.columns = reader.patch, reader.columns
        self.slots = nn.Linear(width, self.patch * detail)
        near, inputs = max(reader.aside, self.patch - 1), reader.levels.embedding_dim
        self.before = Before(inputs, detail, reach=near, rows=reader.rows, aside=reader.aside)
        self.inner = nn.Sequential(nn.ReLU(), nn.Linear(detail, detail), nn.ReLU())

    def forward(self, states: Tensor, cells: Tensor, columns: int) -> Tensor:
        """(B, M, width) and the cells; `columns`: how many of a row are values, the others fill it up."""
        near = self.before(cells).movedim(1, -1)  # (B, H, W, detail)
        found: Tensor = self.inner((self.slots(states).view_as(near) + near)[:, :, :columns])
        return found.flatten(1, 2)

    def parted(self, state: Tensor) -> Tensor:
        """(n, width) -> (n, patch, detail): before they are told anything."""
        parts: Tensor = self.slots(state)
        return parts.view(len(state), self.patch, -1)

    def at(self, parts: Tensor, paper: Paper, row: int, column: int) -> Tensor:
        """(n, detail) at one place, from its token's parts."""
        found: Tensor = self.inner(parts[:, column % self.patch] + self.before.at(paper, row, column))
        return found


def curved(levels: int, size: int) -> Tensor:
    """(levels, size): an embedding of ordered levels to start from, in which near levels lie near each other."""
    value = torch.linspace(-2, 2, levels)[:, None]
    return math.sqrt(2.0) * torch.sin(value * torch.randn(size) + torch.randn(size))
