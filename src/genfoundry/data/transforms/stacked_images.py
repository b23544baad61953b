"""Images made by seed: grey images are the channels of one, whose class is the combination of theirs.

Stacked digits count the modes of a distribution that a model reaches: 1,000 combinations of three of ten classes (after
Stacked MNIST: Metz et al. 2017, arXiv:1611.02163, section 3.3.1; Srivastava et al. 2017, arXiv:1705.07761).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed

LEAST = 2  # images of each class in a block

Array = NDArray[Any]
Ints = NDArray[np.int64]


def stack_images(
    x: Array, label: Ints, classes: int, channels: int, count: int, key: tuple[object, ...], *, apart: bool
) -> tuple[Array, Ints, Ints, Ints]:
    """Make `count` images of grey ones (n, 1, H, W); every combination of classes is as frequent as the others.

    Args:
        x: the grey images.
        label: (n,) their classes, each of which is there; -1 is none, and not used.
        classes: number of classes of a grey image.
        channels: of an image that is made.
        count: how many are made.
        key: seeds the draws.
        apart: whether the grey images are divided into blocks, so that images of two blocks share none of them.

    Returns:
        Images (count, channels, H, W), their classes (count,), the grey images (count, channels) in each, and blocks
        (count,), which are all 0 unless `apart`.

    Raises:
        UserError: there is no grey image of some class.
    """
    rng = np.random.default_rng(derive_seed(*key))
    blocks = divide_into_blocks(label, classes, rng, apart=apart)  # (blocks, classes) of arrays
    combinations = classes**channels
    rounds = [rng.permutation(combinations) for _ in range(-(-count // combinations))]
    made: Ints = np.concatenate(rounds)[:count]
    block: Ints = rng.integers(len(blocks), size=count)
    digit = made[:, None] // classes ** np.arange(channels)[::-1] % classes  # (count, channels)
    chance = rng.random(digit.shape)
    members = np.empty(digit.shape, np.int64)
    for b, of_class in enumerate(blocks):
        for c, places in enumerate(of_class):
            here = (digit == c) & (block == b)[:, None]
            members[here] = places[(chance[here] * len(places)).astype(np.int64)]
    return x[members, 0], made, members, block


def divide_into_blocks(label: Ints, classes: int, rng: np.random.Generator, *, apart: bool) -> list[list[Ints]]:
    """Places of the images of each class in each block: as many blocks as hold `LEAST` of every class, or one."""
    of_class = [rng.permutation(np.flatnonzero(label == c)) for c in range(classes)]
    fewest = min(map(len, of_class))
    if not fewest:
        missing = [c for c, places in enumerate(of_class) if not len(places)]
        raise UserError(f"stack: expected an image of every class 0 to {classes - 1}, got none of class {missing[0]}")
    count = max(fewest // LEAST, 1) if apart else 1
    return [[places[b::count] for places in of_class] for b in range(count)]
