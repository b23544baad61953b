"""Patches of pictures, cut inside regions: a region goes to one split as a whole, so no pixel is in two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from genfoundry.config import Patch
from genfoundry.errors import UserError

Array = NDArray[Any]


def cut(x: Array, patch: Patch, source: str) -> Iterator[tuple[bytes, Array, Array]]:
    """The regions of a picture (C, H, W): the hash of a region's pixels, and its patches (N, C, size, size).

    Also which of them (N,), bool, share no pixel with each other: all that a held-out split takes.

    The regions are the cells of an even grid, each of `patch.region` pixels or more a side; a picture that is smaller
    than a region is one. Pixels at the right and lower edges that the stride does not reach are left out.

    Raises:
        UserError: the picture is smaller than a patch.
    """
    if min(x.shape[1:]) < patch.size:
        raise UserError(f"{source}: {x.shape[1]} x {x.shape[2]} pixels; patches of {patch.size} need as many a side")
    rows, columns = (_bounds(side, patch.region) for side in x.shape[1:])
    for top, bottom in rows:
        for left, right in columns:
            region = x[:, top:bottom, left:right]
            windows = sliding_window_view(region, (patch.size, patch.size), axis=(1, 2))[
                :, :: patch.stride, :: patch.stride
            ]
            patches = np.moveaxis(windows, 0, 2).reshape(-1, len(x), patch.size, patch.size)
            down, across = (np.arange(n) % -(-patch.size // patch.stride) == 0 for n in windows.shape[1:3])
            yield _digest(region), patches, np.outer(down, across).ravel()


def _digest(region: Array) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(region).tobytes()).digest()


def _bounds(side: int, region: int) -> list[tuple[int, int]]:
    count = max(1, side // region)
    edges = [side * i // count for i in range(count + 1)]
    return list(pairwise(edges))
