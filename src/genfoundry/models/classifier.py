"""Supervised classifier that learns from labelled items alone: the reference for semi-supervised models.

It has the network, the loss and the augmentation that `ss_vae` has for q(y | x).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from genfoundry.models.base import Hyper, Learner
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.classifier import ConvClassifier, augment, supervised_loss
from genfoundry.types import Batch, Clock, Spec


class Classifier(Learner):
    """x (B, C, H, W) -> logits of the classes. An item whose label is -1 is not learnt from."""

    class Config(Hyper):
        """`recogniser`: width of the network. `shift`, `mirror`, `erase`: see `nn.conv.classifier.augment`."""

        recogniser: int = Field(8, ge=1)
        shift: float = Field(0.07, ge=0, lt=0.5)
        mirror: bool = False
        erase: float = Field(0.0, ge=0, lt=1)

    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 3e-3}, "weight_decay": 0.01, "ema": 0.99}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        return {"hyper": {"recogniser": 32}, "search": {"train.lr.model": {"low": 1e-3, "high": 6e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.recogniser = ConvClassifier(spec, config.recogniser)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        c = self.config
        assert batch.label is not None
        x = scale_levels(batch.x, self.spec)  # (B, C, H, W) in [-1, 1]
        logits = self.recogniser.classify_views(x, augment(x, shift=c.shift, mirror=c.mirror, erase=c.erase))
        yield {"model": supervised_loss(logits, batch.label)}

    def classify(self, batch: Batch) -> Tensor:
        """Return (B, classes) logits."""
        return self.recogniser(scale_levels(batch.x, self.spec))  # type: ignore[no-any-return]
