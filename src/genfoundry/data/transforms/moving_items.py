"""Videos made by seed: items that bounce about a frame, one over another (after Moving MNIST: Srivastava et al. 2015).

Whole pixels and whole numbers only: a video is the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genfoundry import config
from genfoundry.data.readers.arrays import ImageSet
from genfoundry.data.split_assignment import assign_split
from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.splits import SPLITS

LIT = 8  # at least one in so many of an item's pixels is white, or there is nothing to see

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """The items of one split: (n, a, a) uint8 of 0 and 1, and the content hash of each."""

    x: Bytes
    digest: tuple[str, ...]


def assign_items(parts: list[ImageSet], dataset: config.Dataset, moving: config.Moving, seed: int) -> dict[str, Pool]:
    """Split -> its items. An item that looks like one of the published test split is left out of the others.

    Raises:
        UserError: the images cannot be brought to the declared size.
    """
    published = any(bool(part.tests.any()) for part in parts)
    items_of: dict[str, dict[bytes, Bytes]] = {name: {} for name in SPLITS}
    # The published test items first, so that later ones can be compared with them
    for part, test in [(part, test) for test in (True, False) for part in parts]:
        for item in to_silhouettes(part, moving)[part.tests == test]:
            digest = hashlib.sha256(item.tobytes()).digest()
            split = "test" if test else assign_split(seed, digest, dataset, published)
            if LIT * int(item.sum()) >= item.size and not (published and digest in items_of["test"]):
                items_of[split][digest] = item
    empty = np.zeros((0, moving.item, moving.item), np.uint8)
    return {
        name: Pool(np.stack(list(items.values())) if items else empty, tuple(d.hex()[:16] for d in items))
        for name, items in items_of.items()
    }


def to_silhouettes(part: ImageSet, moving: config.Moving) -> Bytes:
    """(n, a, a): 1 where the mean of a block of pixels is at least the threshold."""
    n, _, height, width = part.x.shape
    side = moving.item
    if height % side or width % side:
        raise UserError(
            f"{part.source}: expected images whose sides moving.item divides, got {height} x {width} pixels and "
            f"moving.item: {side}"
        )
    blocks = part.x.reshape(n, side, height // side, side, width // side).sum((2, 4), dtype=np.int64)
    white: Bytes = (blocks >= moving.threshold * (height // side) * (width // side)).astype(np.uint8)
    return white


def bounce(start: Ints, velocity: Ints, steps: int, reach: Ints) -> Ints:
    """(k, 2), (k, 2), (2,) -> (k, steps, 2): places 0..reach, thrown back at both ends."""
    period = 2 * np.maximum(reach, 1)
    # A walk between two walls is one around a circle of twice the length, folded
    at = (start[:, None] + velocity[:, None] * np.arange(steps)[:, None]) % period
    place: Ints = np.minimum(np.minimum(at, period - at), reach)
    return place


def draw_frames(items: Bytes, places: Ints, size: tuple[int, int]) -> Bytes:
    """Items (k, a, a) at places (k, T, 2), the upper left corners -> (T, 1, H, W): white where any item is."""
    side = items.shape[-1]
    video = np.zeros((places.shape[1], 1, *size), np.uint8)
    for item, path in zip(items, places, strict=True):
        for frame, (top, left) in zip(video[:, 0], path, strict=True):
            frame[top : top + side, left : left + side] |= item
    return video


def choose_casts(pool: Pool, count: int, items: int, key: tuple[object, ...]) -> Ints:
    """(count, items): which of the pool each video shows, so that no two share one, as far as there are enough.

    Then the same casts come again: videos of one cast are a group.
    """
    n = len(pool.x)
    order = np.random.default_rng(derive_seed(*key, "casts")).permutation(n)
    distinct = order[np.arange(max(n // items, 1) * items) % n].reshape(-1, items)
    casts: Ints = distinct[np.arange(count) % len(distinct)]
    return casts


def make_videos(
    pool: Pool,
    count: int,
    steps: int,
    size: tuple[int, int],
    moving: config.Moving,
    key: tuple[object, ...],
    cast: Ints | None = None,
) -> tuple[Bytes, list[str]]:
    """(count, steps, 1, H, W), and the items of each; video i is a function of (key, i), pool and cast alone.

    `cast` (count, items) says which items a video shows; None draws them for each video on its own.
    """
    reach = np.array(size) - moving.item
    videos, shown = np.zeros((count, steps, 1, *size), np.uint8), []
    for i in range(count):
        # A generator a video: a larger `count` leaves the first videos as they are
        rng = np.random.default_rng(derive_seed(*key, i))
        which = rng.integers(len(pool.x), size=moving.items) if cast is None else cast[i]
        start = rng.integers(0, reach + 1, (moving.items, 2))
        velocity = rng.integers(1, moving.speed + 1, (moving.items, 2)) * rng.choice((-1, 1), (moving.items, 2))
        videos[i] = draw_frames(pool.x[which], bounce(start, velocity, steps, reach), size)
        shown.append(" ".join(pool.digest[k] for k in which))
    return videos, shown
