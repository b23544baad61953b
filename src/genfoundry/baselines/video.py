"""Trivial models of video: the last frame again, pixels counted by what is around them, independent pixels, xz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry import compress
from genfoundry.baselines.base import Answers, Known, Row, batches, chosen, nats, values
from genfoundry.baselines.images import Pixels
from genfoundry.types import Batch, counted

if TYPE_CHECKING:
    from genfoundry.data.base import Split

Ints = NDArray[np.int64]
Offset = tuple[int, int, int]  # frames, rows, columns from a pixel to one before it
LAST: tuple[Offset, ...] = ((-1, 0, 0),)
ABOVE: tuple[Offset, ...] = (  # what JBIG codes a pixel by (ISO/IEC 11544, three rows)
    *((0, -2, x) for x in (-1, 0, 1)),
    *((0, -1, x) for x in (-2, -1, 0, 1, 2)),
    *((0, 0, x) for x in (-2, -1)),
)
MOST = 1 << 20  # contexts that are counted


def anchors(known: Known) -> list[Row]:
    """The last frame that is given, again and again, with the chance that a pixel changes from one to the next."""
    if known.train.spec.cond_shape is None or known.train.spec.levels is None:
        return []
    chance = Counted(known.train, LAST)

    def copy(split: Split) -> Answers:
        last = [b.cond[:, -1:] for b in batches(split, chosen(split, known.sizes[split.name])) if b.cond is not None]
        return {**chance.answers(split), "samples": torch.cat(last).expand(-1, *split.spec.shape)}

    return [Row("copy-last-frame", "baseline", "exact", copy)]


def rows(known: Known) -> list[Row]:
    """Those, real videos against others, pixels by their own frame alone, independent pixels, xz."""
    train, levels = known.train, known.train.spec.levels

    def real(split: Split) -> Answers:
        index = chosen(split, known.sizes[split.name])
        return {"samples": torch.cat([b.x for b in batches(split, index)]).roll(1, 0)}

    found = [*anchors(known), Row("real-against-real", "floor", "none", real)]
    if levels is None:
        return found
    if levels ** len(ABOVE) <= MOST:
        found.append(Row("without-the-past", "baseline", "exact", Counted(train, ABOVE).answers))
    independent = Pixels(values(train), levels)

    def guess(split: Split) -> Answers:
        drawn = independent.sample(known.sizes[split.name], counted(known.seed, "pixels", split.name))
        nll = torch.from_numpy(independent.nll(values(split)))
        return {"nll": nll, "samples": torch.from_numpy(drawn).reshape(-1, *split.spec.shape)}

    found.append(Row("independent-pixels", "baseline", "exact", guess))
    return [*found, Row("xz", "compressor", "bound", lambda s: nats(compress.whole(values(s), levels)))]


class Counted:
    """A pixel given those at `offsets` from it, all before it in frames and raster order: exact, since it is counted.

    Over train, with one added to each count (Laplace); what lies outside is level 0.
    """

    def __init__(self, train: Split, offsets: Sequence[Offset]) -> None:
        self.levels, self.offsets = train.spec.levels or 256, offsets
        counts = np.ones(self.levels ** (len(offsets) + 1))
        for batch in batches(train):
            counts += np.bincount(self._cells(batch).ravel(), minlength=counts.size)
        table = counts.reshape(-1, self.levels)
        self.table = -np.log(table / table.sum(1, keepdims=True)).ravel()

    def _cells(self, batch: Batch) -> Ints:
        """(B, T C H W): the number of each pixel's context, then its own level."""
        x = batch.x.cpu().numpy()  # (B, T, C, H, W)
        steps, (height, width) = x.shape[1], x.shape[-2:]
        past = x[:, :0] if batch.cond is None else batch.cond.cpu().numpy()
        reach = np.abs(np.array(self.offsets)).max(0)
        whole = np.concatenate([past, x], 1)
        pad = [(0, 0), (reach[0], 0), (0, 0), (reach[1], reach[1]), (reach[2], reach[2])]
        whole = np.pad(whole, pad).astype(np.int64)
        found = np.zeros(x.shape, np.int64)
        for t, i, j in (*self.offsets, (0, 0, 0)):
            first = whole.shape[1] - steps + t
            rows, columns = reach[1] + i, reach[2] + j
            found *= self.levels
            found += whole[:, first : first + steps, :, rows : rows + height, columns : columns + width]
        return found.reshape(len(x), -1)

    def answers(self, split: Split) -> Answers:
        return {"nll": torch.cat([torch.from_numpy(self.nll(batch)) for batch in batches(split)])}

    def nll(self, batch: Batch) -> NDArray[np.float64]:
        """(B,) nats."""
        found: NDArray[np.float64] = self.table[self._cells(batch)].sum(1)
        return found
