"""Batches of a split's items, and samples of them that every evaluation shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.seeding import derive_seed
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.splits import Split

EVAL_BATCH = 200  # items: fixed, since noise is drawn a batch at a time


def iter_batches(split: Split, index: Tensor | None = None, size: int = 500) -> Iterator[Batch]:
    """The items at `index` (default: all, in order) in batches of `size`."""
    for part in torch.split(torch.arange(len(split)) if index is None else index, size):
        yield split.eval_batch(part)


def sample_indices(split: Split, n: int) -> Tensor:
    """(n,) indices of items, shuffled by the split's name and n: a file's first items may be all of one class."""
    generator = torch.Generator().manual_seed(derive_seed("chosen", split.name, n))
    return torch.randperm(len(split), generator=generator)[torch.arange(n) % len(split)]


def sample_items(split: Split, n: int) -> Tensor:
    """(n, *shape): the real items that n generated samples are compared with."""
    return torch.cat([b.x for b in iter_batches(split, sample_indices(split, n))])


def stack_values(split: Split) -> NDArray[Any]:
    """(N, dims) values of every item, in bytes where they fit."""
    kind = torch.uint8 if split.spec.levels is not None and split.spec.levels <= 256 else None
    return np.concatenate([b.x.reshape(len(b), -1).cpu().to(kind or b.x.dtype).numpy() for b in iter_batches(split)])
