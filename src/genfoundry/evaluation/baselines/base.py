"""What every trivial model is: it gives answers in the form that `evaluate.answers` does, and is scored alike.

Roles: a champion must beat every row (`references`) but the "floor" (real items against real ones), which cannot be
beaten, and the "copy" of the training set.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.evaluation.objectives import OBJECTIVES
from genfoundry.evaluation.predictions import Answers

if TYPE_CHECKING:
    from genfoundry.splits import Split

TEXTS, LENGTH = 4, 400  # sample texts that are shown, characters each
Role = Literal["floor", "copy", "ceiling", "baseline", "compressor", "reference"]


@dataclass(frozen=True)
class Row:
    """One trivial model: fitted on train already, it answers for any split.

    `absent` says of a figure that it lacks, by the figure's name, why it does.
    """

    name: str
    role: Role
    likelihood: Literal["exact", "bound", "none"]
    answers: Callable[[Split], Answers]
    absent: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Known:
    """What trivial models are fitted on: train, the held-out splits by name, samples a split, seed, text's alphabet.

    `objective` and `labels` are the task's: what it does not ask for need not be computed, and classifiers learn from
    as many labels of `dataset` as its models do.
    """

    train: Split
    held: Mapping[str, Split]
    sizes: Mapping[str, int]
    seed: int = 0
    alphabet: str = ""
    objective: str = ""
    dataset: str = ""
    labels: int | None = None


def rows(known: Known, modality: str) -> list[Row]:
    """The trivial models of a modality; none where it has no file here."""
    return _of(modality, "rows", known)


def anchors(known: Known, modality: str) -> list[Row]:
    """Those of them that stand beside every model's own figures: quick, since nothing much is fitted."""
    return _of(modality, "anchors", known)


def _of(modality: str, which: str, known: Known) -> list[Row]:
    if importlib.util.find_spec(f"genfoundry.evaluation.baselines.{modality}") is None:
        return []
    found: list[Row] = getattr(importlib.import_module(f"genfoundry.evaluation.baselines.{modality}"), which)(known)
    return found


def nats(bits: NDArray[np.float64]) -> Answers:
    return {"nll": torch.from_numpy(bits * math.log(2))}


def no_likelihood(why: str) -> dict[str, str]:
    """`Row.absent` of a row without a likelihood of an item: the reason for every figure of one."""
    return {o.name: why for o in OBJECTIVES.values() if set(o.needs) <= {"nll", "frame"}}
