"""Patches of pictures, cut inside regions: all of a region go to one split, so that no pixel is in two."""

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


def cut_patches(x: Array, patch: Patch, source: str) -> Iterator[tuple[bytes, Array, Array]]:
    """Cut a picture (C, H, W) into patches, region by region.

    The regions are the cells of an even grid, each of `patch.region` pixels or more a side; a picture that is smaller
    than a region is one. Pixels at the right and lower edges that the stride does not reach are left out.

    Yields:
        The hash of a region's pixels, its patches (N, C, size, size), and which of these (N,) share no pixel with each
        other: all that a held-out split takes.

    Raises:
        UserError: the picture is smaller than a patch.
    """
    size, stride = patch.size, patch.stride
    if min(x.shape[1:]) < size:
        raise UserError(
            f"{source}: expected {size} pixels a side or more, the size of a patch, got {x.shape[1]} x {x.shape[2]}"
        )
    rows, columns = (_bounds(side, patch.region) for side in x.shape[1:])
    for top, bottom in rows:
        for left, right in columns:
            region = x[:, top:bottom, left:right]
            # A view: the patches share the region's memory until they are reshaped
            windows = sliding_window_view(region, (size, size), axis=(1, 2))[:, ::stride, ::stride]
            patches = np.moveaxis(windows, 0, 2).reshape(-1, len(x), size, size)
            # Every ceil(size / stride)-th window along an axis is the next that overlaps none before it
            down, across = (np.arange(n) % -(-size // stride) == 0 for n in windows.shape[1:3])
            digest = hashlib.sha256(np.ascontiguousarray(region).tobytes()).digest()
            yield digest, patches, np.outer(down, across).ravel()


def _bounds(side: int, region: int) -> list[tuple[int, int]]:
    count = max(1, side // region)
    # Cells differ by a pixel at most, rather than one smaller cell at the end
    return list(pairwise(side * i // count for i in range(count + 1)))
