"""A classifier that learns from labelled items alone: what semi-supervised models are measured against.

It is the network, the loss and the variation of items that `ss_vae` has for q(y | x).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from genfoundry.models.base import Hyper, Learner
from genfoundry.nn.conv.blocks import scaled
from genfoundry.nn.conv.classifier import Recogniser, supervised, varied
from genfoundry.types import Batch, Clock, Spec


class Classifier(Learner):
    """x (B, C, H, W) -> logits of the classes. An item whose label is -1 teaches it nothing."""

    class Config(Hyper):
        """`recogniser`: its width. Items are varied as `nn.recognise.varied` says."""

        recogniser: int = Field(8, ge=1)
        shift: float = Field(0.07, ge=0, lt=0.5)
        mirror: bool = False
        erase: float = Field(0.0, ge=0, lt=1)

    modalities: ClassVar[tuple[str, ...]] = ("images",)
    defaults: ClassVar[Mapping[str, Any]] = {"batch": 64, "lr": {"model": 3e-3}, "weight_decay": 0.01, "ema": 0.99}
    config: Config

    @classmethod
    def suggest_settings(cls, spec: Spec, items: int) -> dict[str, Any]:
        return {"hyper": {"recogniser": 32}, "search": {"train.lr.model": {"low": 1e-3, "high": 6e-3, "log": True}}}

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.recogniser = Recogniser(spec, config.recogniser)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        c = self.config
        assert batch.label is not None
        x = scaled(batch.x, self.spec)
        logits = self.recogniser.both(x, varied(x, shift=c.shift, mirror=c.mirror, erase=c.erase))
        yield {"model": supervised(logits, batch.label)}

    def classify(self, batch: Batch) -> Tensor:
        """(B, classes) logits."""
        return self.recogniser(scaled(batch.x, self.spec))  # type: ignore[no-any-return]
