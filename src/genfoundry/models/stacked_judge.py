"""Feature network of stacked images: one network classifies each channel, and a class is the combination of theirs.

A network of all channels would have to learn the thousand classes of three digits from a few images each; this one
learns ten, from every channel.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor

from genfoundry.errors import UserError
from genfoundry.models.families.feature_network import FeatureNetwork
from genfoundry.types import Batch, Spec


class StackedJudge(FeatureNetwork):
    """x (B, C, H, W) -> features of each channel, C times 64 -> logits of the classes.

    A class is a number of C digits, the first channel's the highest; a channel has K classes, the least number whose
    combinations are as many as the classes. log p(class) is the sum of the channels' log-probabilities.

    Raises:
        UserError: the data have fewer than 2 classes.
    """

    def __init__(self, spec: Spec, config: FeatureNetwork.Config) -> None:
        if spec.classes < 2:
            raise UserError(f"stacked_judge: expected data with 2 or more classes, got {spec.classes}")
        channels = spec.shape[0]
        per_channel = next(k for k in count(2) if k**channels >= spec.classes)
        super().__init__(replace(spec, shape=(1, *spec.shape[1:]), classes=per_channel, class_counts=()), config)
        self.spec, self.channels = spec, channels
        self.register_buffer("centre", torch.zeros(channels * config.features))
        self.register_buffer("spread", torch.ones(channels * config.features))

    def _raw_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) levels -> (B, C * 64) float32, not yet standardised."""
        of_channel = super()._raw_features(x.flatten(0, 1)[:, None])  # (B * C, 64)
        return of_channel.view(len(x), -1)

    def classify(self, batch: Batch) -> Tensor:
        """Return (B, classes) logits."""
        of_channel = self._raw_features(batch.x).view(len(batch), self.channels, -1)  # (B, C, 64)
        logs = F.log_softmax(self.classes(F.relu(of_channel)).float(), -1).unbind(1)  # C times (B, K)
        joint = logs[0]
        for log in logs[1:]:
            joint = (joint[:, :, None] + log[:, None]).flatten(1)  # (B, K^2), (B, K^3), ...
        return joint[:, : self.spec.classes]
