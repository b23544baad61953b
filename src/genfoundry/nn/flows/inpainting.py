"""Missing pixels by a flow that was trained on whole images.

`expect(x, t)` is E[x1 | x_t] of straight paths from noise at t = 0 to images at t = 1, (B, C, H, W) all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from genfoundry.nn.flows.ode import time_grid

Expect: TypeAlias = Callable[[Tensor, float], Tensor]


def estimate_missing(expect: Expect, x: Tensor, known: Tensor, steps: int, draws: int = 2) -> Tensor:
    """Return x where `known` and an estimate elsewhere (PnP-Flow, Martin et al. 2025, arXiv:2410.02423, algorithm 3).

    Each step puts the known values back, returns to the flow's path with fresh noise, and expects the image there, a
    mean over `draws` of the noise: what comes is close to the mean of the images that fit.
    """
    image = torch.zeros_like(x)
    for t in time_grid(steps)[:-1]:
        image = torch.where(known, x, image)
        paths = [(1 - t) * torch.randn_like(x) + t * image for _ in range(draws if t else 1)]
        image = torch.stack([expect(path, t) for path in paths]).mean(0)
    return torch.where(known, x, image)


def draw_missing(expect: Expect, x: Tensor, known: Tensor, steps: int, jump: int = 4, visits: int = 4) -> Tensor:
    """Return x where `known` and a draw elsewhere (RePaint, Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1).

    The known values of every point of the path are those of x with fresh noise. Each stretch of `jump` steps is gone
    `visits` times, noise leading back to its start, so that the drawn values come to agree with the known ones.
    """
    image, times = torch.randn_like(x), time_grid(steps)
    for first in range(0, steps, jump):
        stretch = times[first : first + jump + 1]
        for visit in range(visits):
            if visit:
                image = _go_back(image, stretch[-1], stretch[0])
            for now, then in itertools.pairwise(stretch):
                path = torch.where(known, now * x + (1 - now) * torch.randn_like(x), image)
                item = expect(path, now)
                noise = (path - now * item) / (1 - now)  # that leads from the item to this point
                image = then * item + (1 - then) * noise
    return torch.where(known, x, image)


def _go_back(x: Tensor, then: float, now: float) -> Tensor:
    """Draw the point at the earlier time `now` of a path that is at x at the time `then`."""
    ratio = now / then
    return ratio * x + math.sqrt((1 - now) ** 2 - (ratio * (1 - then)) ** 2) * torch.randn_like(x)
