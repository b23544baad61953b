"""Images whose upper rows say the class and whose lower rows say which item it is; what examination asks for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genfoundry.data.splits.images import ImageSplit
from genfoundry.evaluation import context
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


def bench(judge: Learner | None = None, **more: Any) -> context.Bench:
    train, test = split("train", *images(600, 0)), split("test", *images(300, 1))
    return context.Bench(Data(train=train, test=test), train, test, judge, **more)  # type: ignore[arg-type]
