"""Vector quantisation (van den Oord et al. 2017, arXiv:1711.00937; codebook by moving averages: its appendix A.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rule = Literal["ema", "loss"]


def normalized_conv(inputs: int, width: int) -> nn.Sequential:
    """Return an encoder's last layer, for encodings of unit variance over a batch (Łańcucki et al. 2020,
    arXiv:2005.08520).

    Otherwise the commitment loss would collapse them to one code as long as the decoder makes no use of them.
    """
    return nn.Sequential(nn.Conv2d(inputs, width, 1), nn.BatchNorm2d(width, affine=False))


@dataclass(frozen=True)
class Quantised:
    """A map of codes: `z` (B, D, H, W) with the straight-through gradient; `index` (B, H, W); `loss`, a scalar."""

    z: Tensor
    index: Tensor
    loss: Tensor


class VectorQuantizer(nn.Module):
    """Encodings (B, D, H, W) -> the nearest of K codes.

    Args:
        codes: K.
        width: D.
        codebook: "ema" makes each code the moving average (with `decay`) of the encodings that chose it, an online
            k-means; "loss" moves the codes by gradient descent.
        commitment: weight of the loss that draws encodings to their codes.
        decay: of the moving averages.

    In training a dead code, one chosen less than `DEAD` times as often as the average, becomes a random encoding of the
    batch.
    """

    DEAD = 0.05
    counts: Tensor
    sums: Tensor
    codes: Tensor

    def __init__(self, codes: int, width: int, *, codebook: Rule, commitment: float, decay: float) -> None:
        super().__init__()
        self.codebook, self.commitment, self.decay = codebook, commitment, decay
        start = torch.randn(codes, width)  # until `initialize`
        self.register_buffer("counts", torch.ones(codes))
        if codebook == "ema":
            self.register_buffer("codes", start)
            self.register_buffer("sums", start.clone())
        else:
            self.codes = nn.Parameter(start)

    def forward(self, z: Tensor) -> Quantised:
        z = z.float()
        flat = z.detach().movedim(1, -1).flatten(0, -2)  # (B H W, D)
        index = self.find_nearest(flat)
        codes = self.look_up(index.view(len(z), *z.shape[2:]))  # (B, D, H, W)
        loss = self.commitment * F.mse_loss(z, codes.detach())  # eq. 3, third term
        if self.codebook == "loss":
            loss = loss + F.mse_loss(codes, z.detach())  # eq. 3, second term
        if self.training:
            self._update(flat, index)
        # z - z is 0 with the gradient of z: the values are the codes' to the bit
        return Quantised(codes.detach() + (z - z.detach()), index.view(len(z), *z.shape[2:]), loss)

    @torch.no_grad()
    def find_nearest(self, flat: Tensor) -> Tensor:
        """Return the nearest codes (N,) int64 of (N, D), in float32 under autocast too."""
        with torch.autocast(flat.device.type, enabled=False):
            codes = self.codes.detach()
            return torch.addmm(codes.square().sum(1), flat, codes.T, alpha=-2.0).argmin(1)  # |z - e|^2 - |z|^2

    def look_up(self, index: Tensor) -> Tensor:
        """Map (B, H, W) to the codes' vectors (B, D, H, W), channels last."""
        return F.embedding(index, self.codes).movedim(-1, 1)

    @torch.no_grad()
    def _update(self, flat: Tensor, index: Tensor) -> None:
        with torch.autocast(flat.device.type, enabled=False):
            choice = flat.new_zeros(len(flat), len(self.codes)).scatter_(1, index.unsqueeze(1), 1.0)  # (N, K)
            self.counts.lerp_(choice.sum(0), 1 - self.decay)
            if self.codebook == "ema":  # eq. 6-8
                self.sums.lerp_(choice.T @ flat, 1 - self.decay)  # (K, D)
                used = self.counts > 0
                means = self.sums / torch.where(used, self.counts, 1.0).unsqueeze(1)  # (K, D)
                self.codes.copy_(torch.where(used.unsqueeze(1), means, self.codes))
        self._revive(flat)

    @torch.no_grad()
    def _revive(self, flat: Tensor) -> None:
        """Replace dead codes by encodings drawn from (N, D), as if these had been chosen averagely often."""
        average = len(flat) / len(self.codes)
        dead = self.counts < self.DEAD * average  # (K,)
        new = flat[torch.randint(len(flat), dead.shape, device=flat.device)]  # (K, D)
        self.counts.copy_(torch.where(dead, average, self.counts))
        self.codes.copy_(torch.where(dead.unsqueeze(1), new, self.codes))
        if self.codebook == "ema":
            self.sums.copy_(torch.where(dead.unsqueeze(1), new * average, self.sums))

    @torch.no_grad()
    def initialize(self, z: Tensor) -> None:
        """Make every code a random encoding of (B, D, H, W)."""
        flat = z.float().movedim(1, -1).flatten(0, -2)  # (B H W, D)
        self.counts.zero_()  # so that all of them are dead
        self._revive(flat)
