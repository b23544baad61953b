"""The items whose sources are translated: the same for every model and baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.splits import Split
    from genfoundry.types import Batch

TRANSLATED = 1000  # items of a split that are translated, or all if there are fewer


def translated_index(split: Split) -> Tensor:
    """Return the indices (n,) of the items that are translated."""
    from genfoundry.data.iterate import sample_indices

    return sample_indices(split, min(TRANSLATED, len(split)))


def translated_batch(split: Split) -> Batch:
    """Return the batch of these items, source and target."""
    return split.eval_batch(translated_index(split).to(split.tensor.device))
