"""Latent-variable models with a standard normal prior."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genfoundry.models.base import GenerativeModel


class NormalPriorModel(GenerativeModel):
    """p(z) = N(0, I) over `config.latent` values."""

    config: Any

    def prior(self, n: int) -> Tensor:
        """Draw (n, latent) codes from N(0, I) with the global generator."""
        return torch.randn(n, self.config.latent, device=self.device)
