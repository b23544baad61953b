"""Small convolutional network whose features the sample metrics compare; one a data set, trained, then frozen.

It learns to tell the classes apart; where no image has a label, by how much an image was turned (Gidaris et al. 2018,
arXiv:1803.07728), which needs none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genfoundry.models.base import Hyper, Learner
from genfoundry.nn.conv.blocks import halved, scaled, stage
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Clock, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

AT_ONCE = 500  # items of train whose features are computed together
MOST = 10_000  # items of train that features are standardised by
CONSTANT = 1e-12  # variance over train below which a feature says nothing and is only centred


class Judge(Learner):
    """x (B, C, H, W) -> 64 numbers -> logits of classes or turns. An unlabelled image's label is -1.

    The features are these numbers, each standardised to mean 0 and standard deviation 1 over train: a distance in them
    has one unit for every data set, and none that depends on how large the network's last weights grew. They are taken
    before the rectifier, after which a feature that train hardly ever excites would have no scale to divide by.
    """

    class Config(Hyper):
        """`width`: channels at half the resolution, doubled below.

        `shift`: share of the shorter side by which a batch is moved at random, once every item was seen `fresh` times:
        a short training has nothing to gain from it, a long one would learn items by heart.
        """

        width: int = Field(8, ge=1)
        features: int = Field(64, ge=1)
        smoothing: float = Field(0.0, ge=0, lt=1)
        shift: float = Field(0.07, ge=0, lt=0.5)
        fresh: float = Field(3.0, ge=0)

    modalities: ClassVar[tuple[str, ...]] = ("images",)
    candidate: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 128, "lr": {"model": 3e-3}, "weight_decay": 0.01}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        return {"hyper": {"width": 32 if items >= 2000 else 16}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        w, (height, width) = config.width, halved((spec.shape[1], spec.shape[2]), 3)
        self.labelled = spec.classes > 0 and (any(spec.class_counts) or not spec.class_counts)
        self.turns = tuple(range(4)) if spec.shape[1] == spec.shape[2] else (0, 2)  # quarters that keep the shape
        self.body = nn.Sequential(
            stage(spec.shape[0], w, 2), stage(w, 2 * w, 2), stage(2 * w, 2 * w, 1), nn.MaxPool2d(2, ceil_mode=True)
        )
        self.neck = nn.Linear(2 * w * height * width, config.features)
        self.classes = nn.Linear(config.features, spec.classes if self.labelled else len(self.turns))
        self.register_buffer("centre", torch.zeros(config.features))  # of each feature over train
        self.register_buffer("spread", torch.ones(config.features))
        self.centre: Tensor
        self.spread: Tensor

    @property
    def kind(self) -> str:
        """What it learnt from: "classes" or "rotations"."""
        return "classes" if self.labelled else "rotations"

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        batch = self.prepare_batch(self.moved(batch, clock))
        assert batch.label is not None
        logits = self.classify(batch).float()
        loss = F.cross_entropy(
            logits, batch.label, ignore_index=-1, reduction="sum", label_smoothing=self.config.smoothing
        )
        yield {"model": loss / (batch.label >= 0).sum().clamp_min(1)}

    def moved(self, batch: Batch, clock: Clock) -> Batch:
        """The batch, late in a long training moved by up to `shift` of a side, its border repeated."""
        reach = round(self.config.shift * min(self.spec.shape[1:]))
        items = sum(self.spec.class_counts)  # labelled ones: without any, turns are change enough
        if not reach or not items or clock.step * len(batch) < self.config.fresh * items:
            return batch
        down, right = torch.randint(2 * reach + 1, (2,)).tolist()  # on the CPU: no device waits for it
        padded = F.pad(batch.x.float(), (reach,) * 4, mode="replicate")
        height, width = self.spec.shape[1:]
        return replace(batch, x=padded[:, :, down : down + height, right : right + width])

    def prepare_batch(self, batch: Batch) -> Batch:
        """The batch with the labels to tell: its own, or of each image in every turn (B * turns, C, H, W)."""
        if self.labelled:
            return batch
        turned = torch.cat([torch.rot90(batch.x, k, (2, 3)) for k in self.turns])
        return Batch(turned, label=torch.arange(len(self.turns), device=turned.device).repeat_interleave(len(batch)))

    def end(self, phase: str, data: Split) -> None:
        self.standardise(data)

    @torch.no_grad()
    def standardise(self, data: Split) -> None:
        """Set the mean and the standard deviation of each feature, over (at most `MOST` items of) a split."""
        self.eval()
        total, squares = (torch.zeros(len(self.centre), dtype=torch.float64, device=self.device) for _ in range(2))
        index = _some(data)
        for part in torch.split(index, AT_ONCE):
            values = self._numbers(data.eval_batch(part).x.to(self.device)).double()
            total, squares = total + values.sum(0), squares + values.square().sum(0)
        mean = total / len(index)
        variance = squares / len(index) - mean.square()
        self.centre.copy_(mean)
        self.spread.copy_(torch.where(variance > CONSTANT, variance, 1.0).sqrt())

    def build_control(self, data: Split) -> Judge:
        """The same network with random weights, which shows what its features see without any training.

        He et al. 2015 (arXiv:1502.01852) draw such weights that a signal keeps its size through rectifiers; batch
        normalisation gets its statistics in one pass over `data` (train), by which the features are standardised too.
        """
        torch.manual_seed(derive_seed("control"))
        made = type(self)(self.spec, self.config).to(self.device)
        for module in made.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the plain mean over batches
        index = _some(data)
        with torch.no_grad():
            for part in torch.tensor_split(index, -(-len(index) // AT_ONCE)):
                made.train()._numbers(data.eval_batch(part).x.to(self.device))
        made.standardise(data)
        return made

    def _numbers(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in the range of `Batch.x` -> (B, 64) float32, not yet standardised."""
        out: Tensor = self.neck(self.body(scaled(x, self.spec)).flatten(1)).float()
        return out

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in the range of `Batch.x` -> (B, 64) float32, of mean 0 and standard deviation 1 over train."""
        return (self._numbers(x) - self.centre) / self.spread

    def classify(self, batch: Batch) -> Tensor:
        """(B, classes) logits."""
        return self.classes(F.relu(self._numbers(batch.x)))  # type: ignore[no-any-return]

    def embed(self, batch: Batch) -> Tensor:
        """(B, 64) float32: the features."""
        with torch.no_grad():
            return self.features(batch.x)


def _some(data: Split) -> Tensor:
    """(at most MOST,) items, in no order: they may lie by class, and each batch is to look like the whole."""
    draw = torch.Generator().manual_seed(derive_seed("standardise", len(data)))
    return torch.randperm(len(data), generator=draw)[:MOST]
