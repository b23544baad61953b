"""Judges: frozen networks whose features compare samples with real items, and how often they are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import EVAL_BATCH, iter_batches
from genfoundry.models import checkpoint
from genfoundry.models.abilities import Classifies
from genfoundry.models.base import Learner
from genfoundry.types import Batch, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split


@runtime_checkable
class Judges(Protocol):
    """A frozen network whose features compare samples with real items; it knows grey values 0..spec.levels-1."""

    spec: Spec
    kind: str  # what it learnt from: "classes" or "rotations"

    def prepare_batch(self, batch: Batch) -> Batch:
        """The batch with the labels that it was trained to tell."""

    @property
    def device(self) -> torch.device: ...

    def features(self, x: Tensor) -> Tensor:
        """(B, *shape) integers -> (B, F)."""


@torch.inference_mode()
def compute_features(judge: Judges, x: Tensor, levels: int | None) -> NDArray[np.float32]:
    """(n, F) judge features of images in 0..levels-1, which are spread over the judge's own levels first."""
    return cast("NDArray[np.float32]", _map_images(judge, x, levels, lambda images: judge.features(images).float()))


@torch.inference_mode()
def classify_samples(judge: Any, x: Tensor, levels: int | None) -> NDArray[np.int64]:
    """(n,) the likeliest class of images in 0..levels-1, which are spread over the judge's own levels first."""
    return cast("NDArray[np.int64]", _map_images(judge, x, levels, lambda x: judge.classify(Batch(x)).argmax(1)))


def _map_images(judge: Any, x: Tensor, levels: int | None, compute: Callable[[Tensor], Tensor]) -> NDArray[Any]:
    levels_of_judge = judge.spec.levels or 256
    parts = (rescale_levels(part.to(judge.device), levels, levels_of_judge) for part in torch.split(x, EVAL_BATCH))
    return torch.cat([compute(part).cpu() for part in parts]).numpy()


def rescale_levels(x: Tensor, levels: int | None, over: int) -> Tensor:
    """Levels 0..levels-1 (None: grey values) -> int64 0..over-1, black to black and white to white."""
    if levels is None:
        return x.round().clamp(0, over - 1).long()
    return x.long() if levels == over else x.long() * (over - 1) // (levels - 1)


@torch.inference_mode()
def measure_accuracy(judge: Learner, split: Split) -> float | None:
    """Return the judge's accuracy on a split at its own levels (of labels, or of rotations); None without labels."""
    if not isinstance(judge, Classifies):
        return None
    judge.eval()
    hits = []
    for batch in iter_batches(split, size=EVAL_BATCH):
        labelled = (judge.prepare_batch(batch) if isinstance(judge, Judges) else batch).to(judge.device)
        if labelled.label is not None:
            hits.append((judge.classify(labelled).argmax(1) == labelled.label)[labelled.label >= 0])
    return float(torch.cat(hits).double().mean()) if hits and len(torch.cat(hits)) else None


def load_judge(folder: Path | None, device: str = "cpu") -> Learner | None:
    """Load the judge in a folder; None for a data set that has none."""
    return checkpoint.load(folder, device) if folder else None
