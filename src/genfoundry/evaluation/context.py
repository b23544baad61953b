"""What a metric may use beside the model: the split, the judge, seeds; on `test` also train and the whole data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from genfoundry.config import Bound
    from genfoundry.data.dataset import Dataset
    from genfoundry.evaluation.cache import Shared
    from genfoundry.evaluation.scores import Scores
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split

T = TypeVar("T")


@dataclass(kw_only=True)
class SplitContext:
    """The items that a model is measured on, and what they are measured with.

    Args:
        split: the items.
        judge: the data set's feature network, if it has one.
        samples: how many samples are drawn (fewer where the split has fewer items).
        seed: of all noise.
        real: judge features of the real items, (n, F), where they are known already.
        shared: what other evaluations on the same data have computed; None: this context's own memory alone.
    """

    split: Split
    judge: Learner | None = None
    samples: int = 0
    seed: int = 0
    real: NDArray[np.generic] | None = None
    shared: Shared | None = None
    _memory: dict[str, Any] = field(default_factory=dict, repr=False)

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """Return what `compute` gives, computed at the first call with this name."""
        if name not in self._memory:
            self._memory[name] = compute()
        value: T = self._memory[name]
        return value

    def once_a_model(self, model: object, name: str, compute: Callable[[], T]) -> T:
        """Return what `compute` gives of a model, computed again once another model is asked for."""
        held = self._memory.get(name)
        if held is None or held[0] is not model:  # the model itself is held: an id would come again
            held = self._memory[name] = (model, compute())
        value: T = held[1]
        return value

    def cached(self, name: str, compute: Callable[[], Scores]) -> Scores:
        """Return arrays that depend on no model, from other evaluations where one has computed them."""
        return self.once(name, lambda: self.shared.get(name, compute) if self.shared else compute())


@dataclass(kw_only=True)
class EvalContext(SplitContext):
    """What metrics that are measured on `test` alone may use besides.

    Args:
        dataset: the prepared data set.
        train: the training items at the task's levels.
        control: the judge's network with random weights.
        bound: draws and items of the importance-weighted bound.
        binarise: how the task binarises.
        without: classes that were left out of training.
    """

    dataset: Dataset
    train: Split
    control: Learner | None = None
    bound: Bound | None = None
    binarise: str | None = None
    without: tuple[int, ...] = ()

    @cached_property
    def raw_split(self) -> Split:
        """The items of `split` at the data's own levels, which are the judge's."""
        from genfoundry.data.dataset import Subset

        raw: Split = self.dataset.split(self.split.name)
        return raw if len(raw) == len(self.split) else Subset(raw, len(self.split))  # `test_items` may have cut it
