"""Reference models (persistence, n-grams, PNG, ...), scored by the same code as trained models.

A champion must beat every baseline of its task but those with the roles "floor" (real items against real ones, which
cannot be beaten) and "copy" (of the training set).
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.evaluation.scores import Outputs

if TYPE_CHECKING:
    from genfoundry.splits import Split

TEXTS, LENGTH = 4, 400  # sample texts that are shown, and characters in each
Role = Literal["floor", "copy", "ceiling", "baseline", "compressor", "reference"]


@dataclass(frozen=True)
class Baseline:
    """A reference model that is fitted on the training split.

    Attributes:
        name: its row in the task's table.
        role: what it stands for in the table (see the module).
        likelihood: what its "nll" is.
        predict: maps a split to predictions, in the form that those of a trained model have.
        absent: why it has no likelihood of an item, where `likelihood` does not say it.
    """

    name: str
    role: Role
    likelihood: Literal["exact", "bound", "none"]
    predict: Callable[[Split], Outputs]
    absent: str = ""


@dataclass(frozen=True)
class BaselineInputs:
    """What baselines are fitted on.

    Attributes:
        train: the training split.
        held_out: the held-out splits by name.
        sample_counts: how many samples to draw for each of them.
        seed: of all draws.
        alphabet: of text.
        objective: the task's; what it does not need is not fitted. "": all densities.
        dataset: the data set's name, which seeds the choice of labels.
        labels: how many labels the task's models see, and so classifiers do (None: all).
    """

    train: Split
    held_out: Mapping[str, Split]
    sample_counts: Mapping[str, int]
    seed: int = 0
    alphabet: str = ""
    objective: str = ""
    dataset: str = ""
    labels: int | None = None


def fit_baselines(inputs: BaselineInputs, modality: str) -> list[Baseline]:
    """Fit the baselines of a modality; none where it has no file here."""
    return _fit(modality, "fit_baselines", inputs)


def fit_anchors(inputs: BaselineInputs, modality: str) -> list[Baseline]:
    """Fit those baselines of a modality that take no time: they stand beside the metrics of every model."""
    return _fit(modality, "fit_anchors", inputs)


def _fit(modality: str, function: str, inputs: BaselineInputs) -> list[Baseline]:
    if importlib.util.find_spec(f"genfoundry.evaluation.baselines.{modality}") is None:
        return []  # a modality without baselines
    module = importlib.import_module(f"genfoundry.evaluation.baselines.{modality}")
    baselines: list[Baseline] = getattr(module, function)(inputs) if hasattr(module, function) else []
    return baselines


def nll_from_bits(bits: NDArray[np.float64]) -> Outputs:
    """Predictions whose negative log-likelihood is a code length: "nll" (N,) nats of `bits` (N,)."""
    return {"nll": torch.from_numpy(bits * math.log(2))}  # from bits to nats
