"""Feature networks for sample metrics (Fréchet distance, precision, recall): one a data set, trained, then frozen.

It learns to classify; where no image has a label, it learns by which angle an image was rotated, which needs none
(RotNet: Gidaris et al. 2018, arXiv:1803.07728). It is no candidate: `experiments:` may not name it.
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
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.classifier import conv_trunk
from genfoundry.seeding import derive_seed
from genfoundry.types import Batch, Clock, Spec

if TYPE_CHECKING:
    from genfoundry.splits import Split

CHUNK = 500  # items whose features are computed together
MAX_ITEMS = 10_000  # items of the training split that features are standardised by
CONSTANT = 1e-12  # a feature with less variance over the training split is only centred


class FeatureNetwork(Learner):
    """x (B, C, H, W) -> 64 features -> logits of classes or rotations. The label of an unlabelled image is -1.

    Each feature is standardised to mean 0 and standard deviation 1 over the training split, so that distances in them
    have one unit for all data sets, whatever the size of the last weights. Features are taken before the ReLU: after
    it, one that hardly any training item activates would have no scale to divide by.
    """

    class Config(Hyper):
        """`width`: channels at half the resolution, doubled below.

        `shift`: share of the shorter side by which a batch is moved at random, once every item was seen `fresh` times.
        A short training gains nothing from it; a long one would overfit without it.
        """

        width: int = Field(8, ge=1)
        features: int = Field(64, ge=1)
        smoothing: float = Field(0.0, ge=0, lt=1)
        shift: float = Field(0.07, ge=0, lt=0.5)
        fresh: float = Field(3.0, ge=0)

    candidate: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 128, "lr": {"model": 3e-3}, "weight_decay": 0.01}
    config: Config
    centre: Tensor
    spread: Tensor

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        return {"hyper": {"width": 32 if items >= 2000 else 16}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        # Without counts, all images are taken to be labelled
        self.labelled = spec.classes > 0 and (any(spec.class_counts) or not spec.class_counts)
        self.rotations = (
            tuple(range(4)) if spec.shape[1] == spec.shape[2] else (0, 2)
        )  # quarter turns, shape-preserving
        layers, outputs = conv_trunk(spec, config.width)
        self.body = nn.Sequential(*layers)
        self.neck = nn.Linear(outputs, config.features)
        self.classes = nn.Linear(config.features, spec.classes if self.labelled else len(self.rotations))
        self.register_buffer("centre", torch.zeros(config.features))  # mean of each feature over the training split
        self.register_buffer("spread", torch.ones(config.features))  # and its standard deviation

    @property
    def kind(self) -> str:
        """Its training task: "classes" or "rotations"."""
        return "classes" if self.labelled else "rotations"

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        batch = self.prepare_batch(self.shift_batch(batch, clock))
        assert batch.label is not None
        logits = self.classify(batch).float()
        loss = F.cross_entropy(
            logits, batch.label, ignore_index=-1, reduction="sum", label_smoothing=self.config.smoothing
        )
        yield {"model": loss / (batch.label >= 0).sum().clamp_min(1)}  # a batch may have no label at all

    def shift_batch(self, batch: Batch, clock: Clock) -> Batch:
        """Move the batch by up to `shift` of a side, its border repeated, late in a long training."""
        reach = round(self.config.shift * min(self.spec.shape[1:]))
        labelled_items = sum(self.spec.class_counts)  # without labels, rotations are augmentation enough
        if not reach or not labelled_items or clock.step * len(batch) < self.config.fresh * labelled_items:
            return batch
        down, right = torch.randint(2 * reach + 1, (2,)).tolist()  # on the CPU: no wait for the device
        padded = F.pad(batch.x.float(), (reach,) * 4, mode="replicate")  # (B, C, H + 2 reach, W + 2 reach)
        height, width = self.spec.shape[1:]
        return replace(batch, x=padded[:, :, down : down + height, right : right + width])

    def prepare_batch(self, batch: Batch) -> Batch:
        """Return the batch with the labels of the training task: without classes, each image in every rotation."""
        if self.labelled:
            return batch
        rotated = torch.cat([torch.rot90(batch.x, k, (2, 3)) for k in self.rotations])  # (B * rotations, C, H, W)
        label = torch.arange(len(self.rotations), device=rotated.device).repeat_interleave(len(batch))
        return Batch(rotated, label=label)

    def end(self, phase: str, data: Split) -> None:
        self.standardise(data)

    @torch.no_grad()
    def standardise(self, data: Split) -> None:
        """Set the mean and standard deviation of each feature over at most `MAX_ITEMS` items of a split."""
        self.eval()
        # In float64, since the variance is a difference of two large sums
        total, squares = (torch.zeros(len(self.centre), dtype=torch.float64, device=self.device) for _ in range(2))
        index = _sample_items(data)
        for part in torch.split(index, CHUNK):
            values = self._raw_features(data.eval_batch(part).x.to(self.device)).double()  # (n, 64)
            total, squares = total + values.sum(0), squares + values.square().sum(0)  # (features,) each
        mean = total / len(index)  # (64,)
        variance = squares / len(index) - mean.square()
        self.centre.copy_(mean)
        self.spread.copy_(torch.where(variance > CONSTANT, variance, 1.0).sqrt())

    def build_control(self, data: Split) -> FeatureNetwork:
        """Return the same network with random weights, which shows what its features measure without training.

        The weights keep the scale of a signal through ReLUs (He et al. 2015, arXiv:1502.01852). Batch normalisation
        gets its statistics in one pass over the training split `data`, by which the features are standardised, too.
        """
        torch.manual_seed(derive_seed("control"))
        control = type(self)(self.spec, self.config).to(self.device)
        for module in control.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # the plain mean over batches
        index = _sample_items(data)
        with torch.no_grad():
            # Chunks of about equal size, since the plain mean weighs all batches alike
            for part in torch.tensor_split(index, -(-len(index) // CHUNK)):
                control.train()._raw_features(data.eval_batch(part).x.to(self.device))
        control.standardise(data)
        return control

    def _raw_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) levels -> (B, 64) float32, not yet standardised."""
        out: Tensor = self.neck(self.body(scale_levels(x, self.spec)).flatten(1)).float()
        return out

    def features(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) levels to (B, 64) float32, of mean 0 and standard deviation 1 over the training split."""
        return (self._raw_features(x) - self.centre) / self.spread

    def classify(self, batch: Batch) -> Tensor:
        """Return (B, classes) logits."""
        return self.classes(F.relu(self._raw_features(batch.x)))  # type: ignore[no-any-return]

    def embed(self, batch: Batch) -> Tensor:
        """Return the features, (B, 64) float32."""
        with torch.no_grad():
            return self.features(batch.x)


def _sample_items(data: Split) -> Tensor:
    """Indices of at most `MAX_ITEMS` items, shuffled: items may be sorted by class, and each batch is to be typical."""
    generator = torch.Generator().manual_seed(derive_seed("standardise", len(data)))
    return torch.randperm(len(data), generator=generator)[:MAX_ITEMS]
