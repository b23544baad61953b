"""Images whose upper rows say the class and whose lower rows say which item it is; what examination asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from genfoundry.data.splits.images import ImageSplit
from genfoundry.evaluation.context import EvalContext
from genfoundry.evaluation.metrics import metrics_of
from genfoundry.evaluation.metrics.frechet import draw_samples
from genfoundry.evaluation.predict import predict, score
from genfoundry.evaluation.scores import Outputs, Scores
from genfoundry.models.base import Learner
from genfoundry.types import Batch, Spec

SPEC = Spec((1, 8, 8), 17, classes=3, class_counts=(40, 40, 40))


class Data:
    """The part of a data set that examination asks for."""

    modality = "images"

    def __init__(self, **splits: ImageSplit) -> None:
        self.splits = splits

    def split(self, name: str) -> ImageSplit:
        return self.splits[name]


def images(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Class k lights row k of the upper three; the lower five are noise."""
    draw = torch.Generator().manual_seed(seed)
    x, label = torch.zeros(n, 1, 8, 8, dtype=torch.long), torch.arange(n) % 3
    x[torch.arange(n), 0, label] = 16
    x[:, :, 3:] = torch.randint(17, (n, 1, 5, 8), generator=draw)
    return x, label


class Reads(Learner):
    """A judge that is never wrong about these images."""

    kind = "classes"

    def classify(self, batch: Batch) -> Tensor:
        return batch.x[:, 0, :3].float().mean(2)


def split(name: str, x: Tensor, label: Tensor, spec: Spec = SPEC) -> ImageSplit:
    return ImageSplit(name, {"x": x.to(torch.uint8), "label": label}, spec)


def context(judge: Learner | None = None, **more: Any) -> EvalContext:
    train, test = split("train", *images(600, 0)), split("test", *images(300, 1))
    data: Any = {"dataset": Data(train=train, test=test), "train": train, "split": test}
    return EvalContext(**{**data, "judge": judge, "samples": 20, **more})


@dataclass
class Examined:
    """What an evaluation on test finds of a model: outputs, scores of metrics on test alone, those of methods."""

    outputs: Outputs
    measured: Scores  # of metrics on every split
    scores: dict[str, Any]
    beside: dict[str, dict[str, Any]]
    plots: dict[str, Any]


def examine(model: Any, context: EvalContext, modality: str = "images") -> Examined:
    """All steps from a model to its scores, as `run` takes them."""
    metrics = [m for m in metrics_of(modality) if m.test_only]
    outputs = predict(model, context)
    measured = score(outputs, context)
    outputs |= predict(model, context, [m for m in metrics if m.predict is not draw_samples])
    return replace(examine_outputs(outputs, context, modality), measured=measured)


def examine_outputs(outputs: Outputs, context: EvalContext, modality: str = "images") -> Examined:
    """The same of outputs that are there already."""
    metrics = metrics_of(modality)
    scores: Scores = score(outputs, context, [m for m in metrics if m.test_only])
    beside: dict[str, dict[str, Any]] = {}
    for call in dict.fromkeys(m.beside for m in metrics if m.beside):
        for name, found in call(outputs, context).items():
            beside[name] = beside.get(name, {}) | dict(found)
    plots = [call(outputs, context) for call in dict.fromkeys(m.plots for m in metrics if m.plots)]
    return Examined(outputs, {}, dict(scores), beside, {k: v for found in plots for k, v in found.items()})
