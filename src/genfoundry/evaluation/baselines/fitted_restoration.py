"""Restoration methods that are fitted on training items in closed form: linear ones and nearest neighbours."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import iter_batches, sample_indices
from genfoundry.evaluation.baselines.gaussian import ROUNDING, Gaussian
from genfoundry.evaluation.baselines.nearest_neighbours import CHOICES, Neighbours
from genfoundry.evaluation.damage import SALT, SIGMA, damaged

if TYPE_CHECKING:
    from genfoundry.splits import Split

FITTED = 10_000_000  # values of training items that the covariance is of
WIDEST = 1500  # items, where they have more values than this: the smaller of the two numbers is cubed
SEARCHED = 50_000_000  # values of training items that neighbours are among
TRIED = 20_000_000  # values that are compared when the number of neighbours is chosen, of at most
ASKED = 200  # items


class Learnt:
    """The methods for one damage, each fitted on train when it is first asked: (damaged, known, levels) -> restored."""

    def __init__(self, train: Split, damage: str) -> None:
        self.train, self.damage = train, damage

    def linear(self, x: Tensor, known: Tensor | None, levels: int) -> Tensor:
        """The linear method of least mean squared error, from train's mean and shrunk covariance.

        Against noise it is the Wiener filter (posterior mean under the Gaussian where the noise is Gaussian); of
        missing values it is their Gaussian conditional mean.
        """
        gaussian, top, hit = self._gaussian, levels - 1, SALT
        y = x.flatten(1).double().numpy()
        if known is not None:
            found = gaussian.posterior_mean(y, np.where(known.flatten(1).numpy(), 0.0, np.inf))
        elif self.damage == "gaussian":
            found = gaussian.posterior_mean(y, np.full((1, y.shape[1]), (SIGMA * top) ** 2))
        else:  # a hit value is 0 or top: its variance given x, on average, is what its own and x's leave
            variance = np.square(gaussian.axes).sum(1) + gaussian.floor
            square = (1 - hit) * (variance + gaussian.mean**2) + hit / 2 * top**2
            own = square - ((1 - hit) * gaussian.mean + hit / 2 * top) ** 2
            noise = own - (1 - hit) ** 2 * variance
            found = gaussian.posterior_mean(y, noise[None], gain=1 - hit, offset=hit / 2 * top)
        return torch.from_numpy(found).float().view_as(x)

    def nearest(self, x: Tensor, known: Tensor | None, levels: int) -> Tensor:
        """The mean of the k nearest training items, k chosen on training items left out of their own search."""
        given = None if known is None else known.flatten(1)
        return self._neighbours.restore(x.flatten(1).float(), given).view_as(x)

    @cached_property
    def _gaussian(self) -> Gaussian:
        dims = self.train.spec.dims
        most = FITTED if dims <= WIDEST else min(FITTED, WIDEST * dims)
        items: NDArray[np.generic] = self._items(most)[0].flatten(1).numpy()
        return Gaussian.fit(items, ROUNDING if self.train.spec.levels else 1e-9)

    @cached_property
    def _neighbours(self) -> Neighbours:
        items, index = self._items(SEARCHED)
        asked = min(ASKED, len(items), max(TRIED // (CHOICES[-1] * items[0].numel()), 1))
        clean = items[:asked].float()
        x, known = damaged(clean, self.damage, self.train.spec.levels or 256, self.train.name)
        group = self.train.groups[index]
        left_out = group[:asked, None] == group
        given = None if known is None else known.flatten(1)
        found = Neighbours(items.flatten(1).float())
        return found.choose(clean.flatten(1), x.flatten(1), given, left_out)

    def _items(self, most: int) -> tuple[Tensor, Tensor]:
        """As many training items (n, C, H, W) as have `most` values, drawn without order, and their positions (n,)."""
        index = sample_indices(self.train, min(len(self.train), max(most // self.train.spec.dims, 2)))
        return torch.cat([b.x.cpu() for b in iter_batches(self.train, index)]), index
