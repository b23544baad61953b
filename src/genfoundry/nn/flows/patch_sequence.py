"""Images as sequences of square patches, exactly invertible at any size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genfoundry.types import Spec


class PatchSequence(nn.Module):
    """(B, C, H, W) <-> (B, M, C * patch * patch): patches in raster order.

    Images that patches do not tile are padded below and at the right. `inside` (M, C * patch * patch) is 1 where a
    value of the image stands and 0 in the padding, which is 0 and has to stay so: it is no variable of a density.
    """

    inside: Tensor

    def __init__(self, spec: Spec, patch: int) -> None:
        super().__init__()
        self.channels, self.height, self.width = spec.shape
        self.patch = patch
        self.rows, self.columns = -(-self.height // patch), -(-self.width // patch)
        self.register_buffer("inside", self.split(torch.ones(1, *spec.shape))[0], persistent=False)

    @property
    def tokens(self) -> int:
        """M, the number of patches."""
        return self.rows * self.columns

    @property
    def features(self) -> int:
        """Number of values of a patch."""
        return self.channels * self.patch * self.patch

    def split(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to patches (B, M, features)."""
        p = self.patch
        x = F.pad(x, (0, self.columns * p - self.width, 0, self.rows * p - self.height))
        cells = x.reshape(len(x), self.channels, self.rows, p, self.columns, p)
        return cells.permute(0, 2, 4, 1, 3, 5).reshape(len(x), self.tokens, self.features)

    def join(self, patches: Tensor) -> Tensor:
        """Map patches (B, M, features) to images (B, C, H, W): the inverse of `split`."""
        p = self.patch
        cells = patches.view(len(patches), self.rows, self.columns, self.channels, p, p).permute(0, 3, 1, 4, 2, 5)
        return cells.reshape(len(patches), self.channels, self.rows * p, -1)[:, :, : self.height, : self.width]
