"""From the features of a position to the distribution of its values, channel after channel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.likelihood import Categorical, head_for
from genfoundry.types import Spec

FEW = 16  # levels that get a free probability each


class Readout(nn.Module):
    """Features (..., inputs), values in -1..1 (..., C) -> the head's parameters, (..., head.parameters).

    The channels of a logistic mixture depend on each other in the head; those of other heads depend on the channels
    before them here, by way of the hidden layer, of which every channel has its own.
    """

    before: Tensor

    def __init__(self, inputs: int, hidden: int, spec: Spec, mixtures: int) -> None:
        super().__init__()
        few = spec.levels is not None and 2 < spec.levels <= FEW
        self.head = Categorical(spec.shape[0], spec.levels) if few else head_for(spec, mixtures)
        self.apart = spec.shape[0] if spec.levels is not None and spec.levels <= FEW else 1
        self.hidden = nn.Linear(inputs, hidden * self.apart)
        self.told = nn.Parameter(torch.randn(self.apart, self.apart, hidden)) if self.apart > 1 else None
        weight = torch.randn(self.apart, hidden, self.head.parameters // self.apart)
        self.out = nn.Parameter(weight / math.sqrt(hidden))
        self.bias = nn.Parameter(torch.zeros(self.head.parameters))
        self.register_buffer("before", torch.ones(self.apart, self.apart).tril(-1).unsqueeze(-1), persistent=False)

    def forward(self, features: Tensor, values: Tensor) -> Tensor:
        hidden = self.hidden(F.relu(features)).unflatten(-1, (self.apart, -1))
        if self.told is not None:
            hidden = hidden + torch.einsum("...d,cdh->...ch", values, self.told * self.before)
        return torch.einsum("...ch,chp->...cp", F.relu(hidden), self.out).flatten(-2) + self.bias
