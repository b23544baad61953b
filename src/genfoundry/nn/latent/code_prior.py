"""Distributions over grids of codes: a gated PixelCNN, given a class or a map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.autoregressive.gated_pixelcnn import GatedStack
from genfoundry.nn.conv.blocks import Up
from genfoundry.nn.conv.encoder_decoder import residuals
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Draw, Spec


class CodePrior(nn.Module):
    """p(codes | class, context) over grids (B, H, W) of `codes` values.

    An item without a label is of one class more, "unlabelled". `seen` counts the labels that training met; their
    shares are p(class), over which a likelihood sums where it is given no class.
    """

    seen: Tensor

    def __init__(
        self, codes: int, size: tuple[int, int], *, width: int, layers: int, spec: Spec | None = None, context: int = 0
    ) -> None:
        super().__init__()
        self.codes, self.size = codes, size
        self.classes = spec.classes if spec else 0
        self.embedding = nn.Embedding(codes, width)
        labels = self.classes + 1 if self.classes else 0
        self.stack = GatedStack(width, width, layers, context=context, classes=labels)
        self.logits = nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 1), nn.SiLU(), nn.Conv2d(width, codes, 1))
        shares = spec.class_shares if spec else ()
        self.register_buffer("seen", torch.tensor([*shares, 0.0] if labels else [], dtype=torch.float32))

    def known(self, label: Tensor | None, n: int) -> Tensor | None:
        """(n,) int64 for the embeddings: without a label the last; None for a prior without classes."""
        if not self.classes:
            return None
        if label is None:
            return torch.full((n,), self.classes, device=self.seen.device)
        return torch.where(label < 0, self.classes, label)

    def count(self, label: Tensor | None, n: int, *, anew: bool) -> None:
        """Count the labels of a training batch; `anew`: it is the first."""
        known = self.known(label, n)
        if known is not None:
            found = F.one_hot(known, self.classes + 1).sum(0).float()
            self.seen.copy_(found if anew else self.seen + found)

    def conditional(self, index: Tensor, label: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """(B,) nats: -log p(codes | class, context); a label of -1, or none at all, is the class "unlabelled"."""
        x = self.read(index)
        out = self.stack(x, self.known(label, len(index)), context)
        return self.nll(out, index)

    def marginal(self, index: Tensor) -> Tensor:
        """(B,) nats: -log p(codes), exactly: the sum over classes of p(class) p(codes | class)."""
        if not self.classes:
            return self.conditional(index)
        x = self.read(index)
        above = self.stack.above(x)
        share = (self.seen / self.seen.sum()).log()
        each = [
            share[label] - self.nll(self.stack.across(x, above, torch.full_like(index[:, 0, 0], label)), index)
            for label, count in enumerate(self.seen.tolist())
            if count
        ]
        return -torch.stack(each).logsumexp(0)

    def read(self, index: Tensor) -> Tensor:
        """(B, H, W) codes -> (B, width, H, W), channels last."""
        read: Tensor = self.embedding(index).movedim(-1, 1)
        return read

    def nll(self, out: Tensor, index: Tensor) -> Tensor:
        """The stack's output -> (B,), in float32."""
        scores = self.logits(out).float().movedim(1, -1).flatten(0, -2)  # (B H W, codes)
        return F.cross_entropy(scores, index.flatten(), reduction="none").view(len(index), -1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, label: Tensor | None = None, context: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """(n, H, W) codes; without labels their classes are drawn as often as training met them."""
        if self.classes and label is None:
            label = torch.multinomial(self.seen, n, replacement=True)
        index = torch.zeros(n, *self.size, dtype=torch.int64, device=self.seen.device)

        def choose(features: Tensor, i: int, j: int) -> Tensor:
            index[:, i, j] = sample_categorical(self.logits(features[:, :, None, None])[..., 0, 0], draw)
            return self.embedding(index[:, i, j])  # type: ignore[no-any-return]

        self.stack.scan(n, self.size, choose, self.known(label, n), context)
        return index


class BottomPrior(nn.Module):
    """p(codes | codes at half the resolution), whose meaning for each place is a map that the PixelCNN is given."""

    def __init__(self, codes: int, size: tuple[int, int], *, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        self.told = nn.Sequential(*residuals(width, 2), Up(width, width, size=size), nn.SiLU())
        self.grid = CodePrior(codes, size, width=width, layers=layers, context=width)

    def context(self, top: Tensor) -> Tensor:
        """(B, H / 2, W / 2) codes -> (B, width, H, W)."""
        context: Tensor = self.told(self.embedding(top).movedim(-1, 1))
        return context

    def nll(self, index: Tensor, top: Tensor) -> Tensor:
        """(B,): -log p(codes | top)."""
        return self.grid.conditional(index, context=self.context(top))

    @torch.no_grad()
    def sample(self, top: Tensor, draw: Draw = Draw()) -> Tensor:
        """(B, H, W) codes."""
        return self.grid.sample(len(top), context=self.context(top), draw=draw)
