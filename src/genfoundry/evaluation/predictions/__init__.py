"""What a model answers of a split, one file a kind, and its scores; may import `data`, `models`, `objectives`.

A kind is imported by its name where it is needed, so that what an experiment is tuned by does not hang on the others.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from genfoundry.evaluation.objectives import OBJECTIVES, RESTORED
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.models.base import Learner
    from genfoundry.splits import Split
    from genfoundry.types import Batch

Answers: TypeAlias = "dict[str, Tensor]"
Scores = dict[str, NDArray[np.generic]]
KINDS: Mapping[str, tuple[str, ...]] = {  # in the order in which a model is asked -> the scores that come of it
    "likelihood": ("nll", "frame"),
    "stateful_likelihood": ("nll_carried",),
    "samples": ("features", "real"),
    "forecast": ("mae", "mase", "dtw"),
    "restoration": tuple(RESTORED),
    "classes": ("hits",),
    "translation": ("chrf",),
}
OF_ANSWERS = {"nll_carried": "stateful_likelihood", "samples": "samples", "forecast": "forecast", "classes": "classes"}
OF_ANSWERS |= {"translated": "translation"} | {f"restored_{damage}": "restoration" for damage in RESTORED.values()}


class Kind(Protocol):
    """What a file of this package offers."""

    def answers(self, model: Learner, split: Split, needs: Collection[str], samples: int, seed: int) -> Answers:
        """What depends on the model alone, on the CPU, as far as the scores `needs` ask for it; {} if it cannot."""

    def scores(
        self, found: Mapping[str, Tensor], split: Split, judge: Learner | None, real: NDArray[np.generic] | None
    ) -> Scores:
        """Scores of such answers."""


def kinds(needs: Collection[str] | None = None) -> list[str]:
    """The kinds of answers that these scores come of: an objective's (`Objective.needs`), or (None) any objective's."""
    asked = set(needs if needs is not None else (need for o in OBJECTIVES.values() for need in o.needs))
    return [kind for kind, given in KINDS.items() if asked & set(given)]


def kinds_of(found: Collection[str]) -> list[str]:
    """The kinds that answers of these names are of; whatever a model measures besides is of its likelihood."""
    present = {OF_ANSWERS.get(name, "likelihood") for name in found}
    return [kind for kind in KINDS if kind in present]


def kind(name: str) -> Kind:
    """The module of a kind."""
    return cast(Kind, importlib.import_module(f"genfoundry.evaluation.predictions.{name}"))


def batches_of(model: Learner, split: Split) -> Iterator[Batch]:
    """All items in order, where the model is."""
    from genfoundry.data.iterate import EVAL_BATCH, iter_batches

    return (batch.to(model.device) for batch in iter_batches(split, size=EVAL_BATCH))


def seeded(seed: int, split: Split, what: str, step: int, call: Callable[..., Any], argument: object) -> Any:
    """`call(argument)` with torch's generator seeded by all the others."""
    import torch

    torch.manual_seed(derive_seed(seed, split.name, what, step))
    return call(argument)
