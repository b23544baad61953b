"""Autoregressive priors over grids of discrete codes: gated PixelCNNs, conditioned on a class or on a coarser grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.nn.autoregressive.gated_pixelcnn import GatedStack
from genfoundry.nn.conv.blocks import Upsample, residual_blocks
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Draw, Spec


class CodePrior(nn.Module):
    """p(codes | class, context) over grids (B, H, W) of `codes` values.

    Items without a label form one class more, "unlabelled". The buffer `seen` counts the labels met in training; their
    shares are p(class), over which a marginal likelihood sums.
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

    def class_index(self, label: Tensor | None, n: int) -> Tensor | None:
        """Return (n,) int64 for the embeddings: the last class where unlabelled; None for a prior without classes."""
        if not self.classes:
            return None
        if label is None:
            return torch.full((n,), self.classes, device=self.seen.device)
        return torch.where(label < 0, self.classes, label)

    def count_labels(self, label: Tensor | None, n: int, *, reset: bool) -> None:
        """Count the labels of a training batch of n items; `reset` at the first one."""
        index = self.class_index(label, n)
        if index is not None:
            counts = F.one_hot(index, self.classes + 1).sum(0).float()
            self.seen.copy_(counts if reset else self.seen + counts)

    def nll(self, index: Tensor, label: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Return (B,) nats: -log p(codes | class, context); a label of -1 or None is the class "unlabelled"."""
        out = self.stack(self._embed(index), self.class_index(label, len(index)), context)
        return self._cross_entropy(out, index)

    def marginal_nll(self, index: Tensor) -> Tensor:
        """Return (B,) nats: -log p(codes), exactly: the sum over classes of p(class) p(codes | class)."""
        if not self.classes:
            return self.nll(index)
        x = self._embed(index)
        vertical = self.stack.run_vertical(x)  # the same for all classes
        # Items that were unlabelled in training have a share, too
        log_share = (self.seen / self.seen.sum()).log()
        joint = []
        for label, count in enumerate(self.seen.tolist()):
            if count:
                out = self.stack.run_horizontal(x, vertical, torch.full_like(index[:, 0, 0], label))
                joint.append(log_share[label] - self._cross_entropy(out, index))
        return -torch.stack(joint).logsumexp(0)

    def _embed(self, index: Tensor) -> Tensor:
        """(B, H, W) -> (B, width, H, W), channels last."""
        embedded: Tensor = self.embedding(index).movedim(-1, 1)
        return embedded

    def _cross_entropy(self, out: Tensor, index: Tensor) -> Tensor:
        """The stack's output (B, width, H, W) -> (B,) nats, in float32."""
        scores = self.logits(out).float().movedim(1, -1).flatten(0, -2)  # (B H W, codes)
        return F.cross_entropy(scores, index.flatten(), reduction="none").view(len(index), -1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, label: Tensor | None = None, context: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        """Draw (n, H, W) codes; without `label`, classes are drawn with their frequencies in training."""
        if self.classes and label is None:
            label = torch.multinomial(self.seen, n, replacement=True)
        index = torch.zeros(n, *self.size, dtype=torch.int64, device=self.seen.device)  # (n, H, W)

        def choose(features: Tensor, i: int, j: int) -> Tensor:
            index[:, i, j] = sample_categorical(self.logits(features[:, :, None, None])[..., 0, 0], draw)
            # (n, width), what later positions read
            return self.embedding(index[:, i, j])  # type: ignore[no-any-return]

        self.stack.scan(n, self.size, choose, self.class_index(label, n), context)
        return index


class BottomPrior(nn.Module):
    """p(bottom codes | top codes): a gated PixelCNN conditioned on a map of the codes at half the resolution."""

    def __init__(self, codes: int, size: tuple[int, int], *, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        self.told = nn.Sequential(*residual_blocks(width, 2), Upsample(width, width, size=size), nn.SiLU())
        self.grid = CodePrior(codes, size, width=width, layers=layers, context=width)

    def context(self, top: Tensor) -> Tensor:
        """Map codes (B, H / 2, W / 2) to (B, width, H, W)."""
        context: Tensor = self.told(self.embedding(top).movedim(-1, 1))
        return context

    def nll(self, index: Tensor, top: Tensor) -> Tensor:
        """Return (B,) nats: -log p(bottom | top)."""
        return self.grid.nll(index, context=self.context(top))

    @torch.no_grad()
    def sample(self, top: Tensor, draw: Draw = Draw()) -> Tensor:
        """Draw (B, H, W) codes."""
        return self.grid.sample(len(top), context=self.context(top), draw=draw)
