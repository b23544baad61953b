"""Vector quantisation (van den Oord et al. 2017, arXiv:1711.00937, with the codebook of its appendix A.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rule = Literal["ema", "loss"]


def spread(inputs: int, width: int) -> nn.Sequential:
    """An encoder's last layer: encodings of unit variance over the batch (Łańcucki et al. 2020, arXiv:2005.08520).

    The commitment loss would else draw all of them to one code as long as the decoder makes no use of them.
    """
    return nn.Sequential(nn.Conv2d(inputs, width, 1), nn.BatchNorm2d(width, affine=False))


@dataclass(frozen=True)
class Quantised:
    """A map of codes: `z` (B, D, H, W), with the gradient of its input; `index` (B, H, W); `loss`, a scalar."""

    z: Tensor
    index: Tensor
    loss: Tensor


class Quantiser(nn.Module):
    """Encodings (B, D, H, W) -> the nearest of K codes.

    `codebook: ema` makes each code the mean of the encodings that chose it, over batches that count `decay` less each
    step: a k-means update on the move. `codebook: loss` moves the codes by gradient. In training a dead code, one
    chosen less than `DEAD` times as often as the average code, becomes a random encoding of the batch.
    """

    DEAD = 0.05
    counts: Tensor
    sums: Tensor
    codes: Tensor

    def __init__(self, codes: int, width: int, *, codebook: Rule, commitment: float, decay: float) -> None:
        super().__init__()
        self.codebook, self.commitment, self.decay = codebook, commitment, decay
        start = torch.randn(codes, width)
        self.register_buffer("counts", torch.ones(codes))
        if codebook == "ema":
            self.register_buffer("codes", start)
            self.register_buffer("sums", start.clone())
        else:
            self.codes = nn.Parameter(start)

    def forward(self, z: Tensor) -> Quantised:
        z = z.float()
        flat = z.detach().movedim(1, -1).flatten(0, -2)  # (N, D)
        index = self.nearest(flat)
        chosen = self.looked_up(index.view(len(z), *z.shape[2:]))
        loss = self.commitment * F.mse_loss(z, chosen.detach())
        if self.codebook == "loss":
            loss = loss + F.mse_loss(chosen, z.detach())
        if self.training:
            self.update(flat, index)
        # z - z is 0 with the gradient of z: the values are the codes' to the bit
        return Quantised(chosen.detach() + (z - z.detach()), index.view(len(z), *z.shape[2:]), loss)

    @torch.no_grad()
    def nearest(self, flat: Tensor) -> Tensor:
        """(N, D) -> (N,) int64: |z - e|^2 less |z|^2, a matrix product, in float32 under autocast too."""
        with torch.autocast(flat.device.type, enabled=False):
            codes = self.codes.detach()
            return torch.addmm(codes.square().sum(1), flat, codes.T, alpha=-2.0).argmin(1)

    def looked_up(self, index: Tensor) -> Tensor:
        """(B, H, W) -> (B, D, H, W), channels last."""
        return F.embedding(index, self.codes).movedim(-1, 1)

    @torch.no_grad()
    def update(self, flat: Tensor, index: Tensor) -> None:
        """Count the batch's choices, move the codebook (if it goes by averages), revive dead codes."""
        with torch.autocast(flat.device.type, enabled=False):
            choice = flat.new_zeros(len(flat), len(self.codes)).scatter_(1, index.unsqueeze(1), 1.0)  # (N, K)
            self.counts.lerp_(choice.sum(0), 1 - self.decay)
            if self.codebook == "ema":
                self.sums.lerp_(choice.T @ flat, 1 - self.decay)
                used = self.counts > 0
                means = self.sums / torch.where(used, self.counts, 1.0).unsqueeze(1)
                self.codes.copy_(torch.where(used.unsqueeze(1), means, self.codes))
        self.revive(flat)

    @torch.no_grad()
    def revive(self, flat: Tensor) -> None:
        """Dead codes become encodings drawn from (N, D) with the global generator, as if chosen averagely often."""
        average = len(flat) / len(self.codes)
        dead = self.counts < self.DEAD * average
        drawn = flat[torch.randint(len(flat), dead.shape, device=flat.device)]
        self.counts.copy_(torch.where(dead, average, self.counts))
        self.codes.copy_(torch.where(dead.unsqueeze(1), drawn, self.codes))
        if self.codebook == "ema":
            self.sums.copy_(torch.where(dead.unsqueeze(1), drawn * average, self.sums))

    @torch.no_grad()
    def begin(self, z: Tensor) -> None:
        """Codes from data: random encodings of (B, D, H, W)."""
        flat = z.float().movedim(1, -1).flatten(0, -2)
        self.counts.zero_()
        self.revive(flat)

    def perplexity(self) -> Tensor:
        """Scalar: how many codes would be in use if all were equally often; exp of the entropy of the choices."""
        share = self.counts / self.counts.sum()
        entropy: Tensor = torch.special.entr(share).sum()
        return entropy.exp()
