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
from genfoundry.evaluation.inverse_problem import SALT, SIGMA, corrupt

if TYPE_CHECKING:
    from genfoundry.splits import Split

COVARIANCE_VALUES = 10_000_000  # of training items that the covariance is of
COVARIANCE_ITEMS = 1500  # where they have more values than this: the smaller of the two numbers is cubed
NEIGHBOUR_VALUES = 50_000_000  # of training items that neighbours are among
CHOICE_VALUES = 20_000_000  # that are compared when the number of neighbours is chosen
CHOICE_ITEMS = 200  # that it is chosen on


class FittedMethods:
    """Restoration methods for one damage, each fitted to the training items when it is first called.

    A method maps damaged images (n, C, H, W), the mask of their known pixels (None: nothing is known for certain) and
    the number of levels to restored images.
    """

    def __init__(self, train: Split, damage: str) -> None:
        self.train, self.damage = train, damage

    def restore_linear(self, x: Tensor, known: Tensor | None, levels: int) -> Tensor:
        """The linear estimate of least mean squared error, from the mean and the shrunk covariance of training items.

        Against noise it is the Wiener filter (posterior mean under the Gaussian where the noise is Gaussian); of
        missing values it is their Gaussian conditional mean.
        """
        gaussian, top, hit = self._gaussian, levels - 1, SALT
        y = x.flatten(1).double().numpy()  # (n, D)
        if known is not None:
            # A known value has no noise, a missing one infinite noise
            mean = gaussian.posterior_mean(y, np.where(known.flatten(1).numpy(), 0.0, np.inf))
        elif self.damage == "gaussian":
            mean = gaussian.posterior_mean(y, np.full((1, y.shape[1]), (SIGMA * top) ** 2))
        else:  # a hit value is 0 or top: its variance given x, on average, is its total less x's share
            variance = np.square(gaussian.axes).sum(1) + gaussian.floor
            # E[y^2], then Var[y], of y = x with probability 1 - hit, else 0 or top
            square = (1 - hit) * (variance + gaussian.mean**2) + hit / 2 * top**2
            total = square - ((1 - hit) * gaussian.mean + hit / 2 * top) ** 2
            noise = total - (1 - hit) ** 2 * variance
            mean = gaussian.posterior_mean(y, noise[None], gain=1 - hit, offset=hit / 2 * top)
        return torch.from_numpy(mean).float().view_as(x)

    def restore_from_neighbours(self, x: Tensor, known: Tensor | None, levels: int) -> Tensor:
        """The mean of the k nearest training items, k chosen on training items left out of their own search."""
        mask = None if known is None else known.flatten(1)
        return self._neighbours.restore(x.flatten(1).float(), mask).view_as(x)

    @cached_property
    def _gaussian(self) -> Gaussian:
        dims = self.train.spec.dims
        most = COVARIANCE_VALUES if dims <= COVARIANCE_ITEMS else min(COVARIANCE_VALUES, COVARIANCE_ITEMS * dims)
        items: NDArray[np.generic] = self._some_items(most)[0].flatten(1).numpy()
        return Gaussian.fit(items, ROUNDING if self.train.spec.levels else 1e-9)  # reals are not rounded

    @cached_property
    def _neighbours(self) -> Neighbours:
        items, index = self._some_items(NEIGHBOUR_VALUES)
        count = min(CHOICE_ITEMS, len(items), max(CHOICE_VALUES // (CHOICES[-1] * items[0].numel()), 1))
        clean = items[:count].float()
        x, known = corrupt(clean, self.damage, self.train.spec.levels or 256, self.train.name)
        group = self.train.groups[index]
        left_out = group[:count, None] == group  # (count, N): no item is restored from its own group
        mask = None if known is None else known.flatten(1)
        return Neighbours(items.flatten(1).float()).choose(clean.flatten(1), x.flatten(1), mask, left_out)

    def _some_items(self, most: int) -> tuple[Tensor, Tensor]:
        """Random training items (n, C, H, W) of at most `most` values in all, and their positions (n,)."""
        index = sample_indices(self.train, min(len(self.train), max(most // self.train.spec.dims, 2)))
        return torch.cat([b.x.cpu() for b in iter_batches(self.train, index)]), index
