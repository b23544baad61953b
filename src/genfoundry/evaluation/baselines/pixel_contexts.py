"""Context modelling as in JBIG and JBIG2: the counts of a pixel given pixels before it, an exact likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.data.iterate import iter_batches
from genfoundry.evaluation.scores import Outputs
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.splits import Split

Ints = NDArray[np.int64]
Offset = tuple[int, int, int]  # frames, rows, columns from a pixel to one before it
LAST: tuple[Offset, ...] = ((-1, 0, 0),)
ABOVE: tuple[Offset, ...] = (  # the template of JBIG (ISO/IEC 11544, three rows)
    *((0, -2, x) for x in (-1, 0, 1)),
    *((0, -1, x) for x in (-2, -1, 0, 1, 2)),
    *((0, 0, x) for x in (-2, -1)),
)
WIDE: tuple[Offset, ...] = (  # that of JBIG2 (ITU-T T.88, template 0 with its adaptive pixels at their first places)
    *((0, -2, x) for x in range(-2, 3)),
    *((0, -1, x) for x in range(-3, 4)),
    *((0, 0, x) for x in range(-4, 0)),
)
PAST: tuple[Offset, ...] = (*ABOVE, *((-1, y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)))
MAX_CONTEXTS = 1 << 20


class ContextModel:
    """p(pixel | the pixels at `offsets` from it), counted over the training items with one added to each count.

    The offsets lie before the pixel in frames and raster order, so the product over pixels is an exact likelihood.
    Pixels outside the image are level 0.
    """

    def __init__(self, train: Split, offsets: Sequence[Offset]) -> None:
        self.levels, self.offsets = train.spec.levels or 256, offsets
        counts = np.ones(self.levels ** (len(offsets) + 1))  # Laplace
        for batch in iter_batches(train):
            counts += np.bincount(self._cells(batch).ravel(), minlength=counts.size)
        table = counts.reshape(-1, self.levels)  # (contexts, levels)
        self.table = -np.log(table / table.sum(1, keepdims=True)).ravel()

    def _cells(self, batch: Batch) -> Ints:
        """(B, T C H W), an image being one frame: positions in the table, by each pixel's context and level."""
        x = batch.x.cpu().numpy()
        x = x[:, None] if x.ndim == 4 else x  # (B, T, C, H, W)
        steps, (height, width) = x.shape[1], x.shape[-2:]
        past = x[:, :0] if batch.cond is None else batch.cond.cpu().numpy()  # (B, P, C, H, W)
        reach = np.abs(np.array(self.offsets)).max(0)  # frames, rows, columns
        pad = [(0, 0), (reach[0], 0), (0, 0), (reach[1], reach[1]), (reach[2], reach[2])]
        video = np.pad(np.concatenate([past, x], 1), pad).astype(np.int64)
        cells = np.zeros(x.shape, np.int64)
        # The pixel itself comes last, so that its level is the column of the table
        for t, i, j in (*self.offsets, (0, 0, 0)):
            first = video.shape[1] - steps + t
            rows, columns = reach[1] + i, reach[2] + j
            cells *= self.levels
            cells += video[:, first : first + steps, :, rows : rows + height, columns : columns + width]
        return cells.reshape(len(x), -1)

    def predict(self, split: Split) -> Outputs:
        """The likelihood of each item, "nll" (N,) nats."""
        return {"nll": torch.cat([torch.from_numpy(self.nll(batch)) for batch in iter_batches(split)])}

    def nll(self, batch: Batch) -> NDArray[np.float64]:
        """(B,) nats, exact."""
        return np.asarray(self.table[self._cells(batch)].sum(1))
